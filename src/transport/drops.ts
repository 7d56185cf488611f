// Why something was dropped without an error.

/** Reasons for which the transport drops what it received or was asked to do, each counted. */
export type TransportDrop =
  | "duplicate packet"
  | "old packet"
  | "stopped"
  | "message seen"
  | "request finished"
  | "stream finished"
  | "stream stopped"
  | "credit of a finished stream"
  | "heartbeat replaced"
  | "call for a finished stream"
  | "call after the end";
