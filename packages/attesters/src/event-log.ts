/** The event log that goes with evidence, as the agent puts it together; undefined where there is none. */
export type EventLogReader = () => Promise<Buffer | undefined>;
