// What a session is made of, at either end.

import type { Entropy } from "../base/core.ts";
import type { EventLog } from "../transport/event_log.ts";
import type { Credential, SessionLimits } from "../wire/handshake_payload.ts";
import type { SessionSettings } from "./limits.ts";

/** What a server's session is made of. */
export interface ServerSessionOptions {
  readonly entropy: Entropy;
  /** What this end receives and bears. */
  readonly limits: SessionLimits;
  readonly settings: SessionSettings;
  /** Name and version of this end's software. */
  readonly agent: string;
  /** Makes the log of a session's transport; none where it is absent. */
  readonly eventLog?: () => EventLog;
}

/** What a client's session is made of. */
export interface ClientSessionOptions extends ServerSessionOptions {
  readonly credential: Credential | null;
}
