// The limits of the wire with their defaults (PROTOCOL.md, "Limits"), in one table.

/**
 * Limits that both ends must agree on, by name. Sizes are bytes and times milliseconds. `fixed` limits belong to
 * version 1 of the protocol; `announced` limits are defaults that a handshake message may replace.
 */
export const LIMITS = {
  /** fixed: bytes of a datagram before the path is known to carry more. */
  datagramBytesInitial: 1_200,
  /** fixed: bytes of the largest datagram that is probed for. */
  datagramBytesMax: 1_452,
  /**
   * fixed: bytes of the payload of a message that is sent whole, so that one frame of the smallest packet carries it.
   */
  wholePayloadBytesMax: 1_000,
  /** announced: bytes of one message of type Query, Response or Error. */
  messageBytesMax: 1_048_576,
  /** fixed: bytes of a HandshakeRequest. */
  handshakeRequestBytesMax: 8_192,
  /** fixed: bytes of a HandshakeResponse. */
  handshakeResponseBytesMax: 65_536,
  /** fixed: bytes that the client may send in the session before it has the HandshakeResponse. */
  sessionCreditInitialClient: 12_288,
  /** fixed: bytes that the server may send in the session before the first Credit or announced limit. */
  sessionCreditInitialServer: 65_536,
  /** fixed: bytes that either side may send on a new stream before the first Credit or announced limit. */
  streamCreditInitial: 65_536,
  /** announced: bytes that the peer may send in the session before the first Credit. */
  sessionCreditBytes: 16_777_216,
  /** announced: bytes that the peer may send on a new stream before the first Credit. */
  streamCreditBytes: 262_144,
  /** fixed: the largest final size of a stream. */
  streamBytesMax: Number.MAX_SAFE_INTEGER,
  /** fixed: bytes of the bitmap of an Ack. */
  ackBitmapBytesMax: 256,
  /** fixed: the longest time that an acknowledgement is held back. */
  ackDelayMsMax: 25,
  /** announced: requests open at the same time. */
  openRequestsMax: 64,
  /** fixed: streams that one side may have open at the same time. */
  openStreamsMax: 1_024,
  /** fixed: how far a request id or stream id may lie above the largest one seen. */
  idGapMax: 4_096,
  /** fixed: packet numbers below the largest received that a receiver tells apart. */
  receivedHistoryPackets: 4_096,
  /** fixed: packets that wait undecoded until the principal is known. */
  gatePacketsMax: 8,
  /** fixed: bytes of those packets. */
  gateBytesMax: 12_288,
  /** fixed: time from the end of the DTLS handshake to a known principal. */
  gateMsMax: 5_000,
  /** fixed: bytes of the payload of a page that holds more than one row. */
  pageBytesMax: 65_536,
  /** fixed: bytes of the rows that a Response carries itself. */
  inlinePageBytesMax: 16_384,
  /** announced: bytes of one encoded row. */
  rowBytesMax: 1_048_576,
  /** fixed: rows of one page. */
  pageRowsMax: 65_536,
  /** fixed: columns of a result. */
  columnsMax: 2_000,
  /** fixed: parameters of a command. */
  parametersMax: 32_766,
  /** fixed: bytes of the name of a parameter. */
  parameterNameBytesMax: 128,
  /** fixed: bytes of an idempotency key. */
  idempotencyKeyBytesMax: 128,
  /** fixed: steps of a batch. */
  batchStepsMax: 1_024,
  /** fixed: conditions of a step of a batch. */
  stepConditionsMax: 16,
  /** fixed: bytes of a cursor of a change feed. */
  cursorBytesMax: 256,
  /** fixed: tables of one subscription. */
  feedTablesMax: 64,
  /** fixed: nested arrays and maps of a control payload. */
  controlDepthMax: 16,
  /** fixed: values of a control payload, keys not counted. */
  controlElementsMax: 65_536,
  /** fixed: bytes of a key of a control payload's map. */
  controlKeyBytesMax: 32,
  /** fixed: bytes of the text of an Error or Termination; a sender cuts it. */
  errorTextBytesMax: 512,
  /** fixed: bytes of the other texts of an Error or Termination, such as the name of a number; a sender cuts them. */
  errorNameBytesMax: 64,
  /** fixed: bytes of the URL of a Termination. */
  urlBytesMax: 256,
  /** fixed: bytes of the name of a principal. */
  principalBytesMax: 1_024,
  /** fixed: the longest deadline of a command. */
  deadlineMsMax: 2_147_483_647,
  /** fixed: bytes of a name: an agent, a capability, a permission, a command. */
  nameBytesMax: 256,
  /** fixed: entries of a list of names in a handshake message. */
  nameListMax: 64,
  /** fixed: bytes of a traceparent or tracestate. */
  traceBytesMax: 512,
  /** announced: silence after which a side sends a Heartbeat. */
  heartbeatMs: 10_000,
  /** announced: silence after which the peer is taken for dead. */
  idleMs: 30_000,
} as const;
