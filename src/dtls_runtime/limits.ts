// Every limit of the associations that sockets carry, with its default. Those of the protocol are in DTLS_LIMITS,
// those of a server's socket in ENDPOINT_LIMITS.

/** Limits of associations on sockets. */
export interface RuntimeLimits {
  /** Messages of one association that wait to be read; those beyond are dropped, as a network would. */
  readonly messagesMax: number;
  /** Bytes of them. */
  readonly messagesBytesMax: number;
  /** Datagrams of one association that wait to be sent; messages beyond are dropped, as a network would. */
  readonly sendsMax: number;
  /** Associations of one endpoint that wait to be taken; those beyond are closed. */
  readonly waitingAssociationsMax: number;
  /** How long an association lives without a message in either direction, in milliseconds. */
  readonly idleMsMax: number;
  /** How long closing waits for what is still to be sent or confirmed, in milliseconds. */
  readonly closeMsMax: number;
}

/** The defaults. */
export const RUNTIME_LIMITS: RuntimeLimits = {
  messagesMax: 1_024,
  messagesBytesMax: 4_194_304,
  sendsMax: 256,
  waitingAssociationsMax: 1_024,
  idleMsMax: 3_600_000,
  closeMsMax: 1_000,
};
