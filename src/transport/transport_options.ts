// What a transport is made with.

import type { CongestionController } from "./congestion.ts";
import type { EventLog } from "./event_log.ts";
import type { Role, TransportLimits } from "./limits.ts";

/** What is known of a path. */
export interface PathOptions {
  /** Bytes of the largest packet that every path carries; at least `PACKET_BYTES_MIN`. */
  readonly maxPacketBytes: number;
  /** Bytes of the largest packet that the path is probed for; `maxPacketBytes` where there is none. */
  readonly maxPacketBytesProbed?: number;
  /** The round-trip time of the path where it is known, in milliseconds; else RFC 9002's guess. */
  readonly initialRttMs?: number | undefined;
}

/** What a transport is made with: the path that it begins on, among others. */
export interface TransportOptions extends PathOptions {
  readonly role: Role;
  readonly limits: TransportLimits;
  /** The congestion controller; CUBIC where there is none. */
  readonly congestion?: CongestionController;
  /** Where what happens is logged. */
  readonly eventLog?: EventLog;
}
