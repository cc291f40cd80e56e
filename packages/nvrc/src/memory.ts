/** How many processes the kernel has ended for want of memory, by /proc/vmstat; 0 where it does not say. */
export function oomKills(procVmstat: string): number {
  return Number(/^oom_kill (\d{1,15})$/mu.exec(procVmstat)?.[1] ?? 0);
}
