// Every limit of this implementation of DTLS, with its default. Constants of the standard stand beside the code that
// obeys them.

/** Limits of one association or endpoint; each may be set by an option of the same name. */
export interface DtlsLimits {
  /** Bytes of one datagram that this side sends, until something better is known. */
  readonly datagramBytesMax: number;
  /** Bytes of one datagram of a handshake once repeated retransmissions were not answered (RFC 9147 section 4.4). */
  readonly smallDatagramBytesMax: number;
  /** Bytes of one handshake message that is put together, and of all that wait for it. */
  readonly handshakeMessageBytesMax: number;
  /** Handshake messages past the next one that wait for it. */
  readonly handshakeMessagesAheadMax: number;
  /** Separate ranges of one incomplete handshake message. */
  readonly fragmentRangesMax: number;
  /** Certificates of a chain that a peer may send. */
  readonly certificateChainMax: number;
  /** Record numbers that one ACK of this side lists. */
  readonly ackedRecordsMax: number;
  /** Record numbers of one flight that are remembered, so that an ACK for them is understood. */
  readonly sentRecordsMax: number;
  /** Records of one transmission of a flight (RFC 9147 section 5.8.3). */
  readonly recordsPerTransmissionMax: number;
  /** The first retransmission timeout (RFC 9147 section 5.8.2). */
  readonly initialTimeoutMs: number;
  /** The shortest retransmission timeout, where a round trip was measured. */
  readonly timeoutMsMin: number;
  /** The longest retransmission timeout (RFC 9147 section 5.8.2). */
  readonly timeoutMsMax: number;
  /** Retransmissions of one flight after which the association fails. */
  readonly retransmissionsMax: number;
  /** Messages after the handshake that wait for the one before them to be acknowledged. */
  readonly queuedMessagesMax: number;
  /** Time for a whole handshake. */
  readonly handshakeMsMax: number;
  /** How long keys of an earlier epoch open records: the reordering that is tolerated. */
  readonly oldEpochMs: number;
  /** Records that one key seals, where its cipher suite allows more (RFC 8446 section 5.5). */
  readonly sealedRecordsMax: number;
  /** Records that may fail to open under one key, where its cipher suite allows more (RFC 9147 section 4.5.3). */
  readonly forgedRecordsMax: number;
  /** Records of one epoch that the replay window remembers. */
  readonly replayWindowRecords: number;
  /** Connection IDs of each direction that are valid at one time. */
  readonly connectionIdsMax: number;
  /** Requests for connection IDs that are answered without any of them being used. */
  readonly connectionIdRequestsMax: number;
  /** How long an ended association answers what its peer still sends. */
  readonly closingMs: number;
  /** How often it answers, in that time. */
  readonly closingAnswersMax: number;
  /** Events that wait for the caller; application data beyond is dropped, as a network would. */
  readonly eventsMax: number;
}

/** The defaults. */
export const DTLS_LIMITS: DtlsLimits = {
  datagramBytesMax: 1_200,
  smallDatagramBytesMax: 548,
  handshakeMessageBytesMax: 32_768,
  handshakeMessagesAheadMax: 8,
  fragmentRangesMax: 64,
  certificateChainMax: 8,
  ackedRecordsMax: 32,
  sentRecordsMax: 256,
  recordsPerTransmissionMax: 10,
  initialTimeoutMs: 1_000,
  timeoutMsMin: 200,
  timeoutMsMax: 60_000,
  retransmissionsMax: 12,
  queuedMessagesMax: 16,
  handshakeMsMax: 120_000,
  oldEpochMs: 240_000,
  sealedRecordsMax: Infinity,
  forgedRecordsMax: Infinity,
  replayWindowRecords: 4_096,
  connectionIdsMax: 8,
  connectionIdRequestsMax: 16,
  closingMs: 5_000,
  closingAnswersMax: 5,
  eventsMax: 4_096,
};

/** RFC 9147 section 5.1: at most three times the bytes received go to an address that is not validated. */
export const AMPLIFICATION_MAX = 3;
