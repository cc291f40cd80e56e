/** A datagram of syslog(3) as one line of text: without `<priority>`, line ends and control characters. */
export function syslogText(datagram: Buffer): string {
  // Latin-1 keeps every byte; what is no ASCII goes to the file as it came.
  const text = datagram.toString("latin1").replace(/^<[^>]{0,8}>/u, "");
  return text.trimEnd().replaceAll(/[\0-\x08\x0a-\x1f\x7f]+/gu, " ");
}
