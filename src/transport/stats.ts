// Numbers about a transport for operators and tests.

/** See `Transport.stats`. Packets are the ack-eliciting ones: sent = acknowledged + lost + in flight. */
export interface TransportStats {
  readonly packetsSent: number;
  readonly packetsAcked: number;
  readonly packetsLost: number;
  /** Those of the lost ones that were acknowledged after all. */
  readonly packetsLate: number;
  readonly packetsInFlight: number;
  readonly bytesInFlight: number;
  readonly congestionWindow: number;
  readonly ssthresh: number;
  readonly smoothedRttMs: number;
  readonly rttvarMs: number;
  readonly minRttMs: number;
  readonly ptoCount: number;
  readonly openRequests: number;
  readonly sendStreams: number;
  readonly receiveStreams: number;
  readonly waitingMessages: number;
  /** Bytes charged to the session credit that the peer granted. */
  readonly sessionBytesSent: number;
  /** Bytes that the peer charged to the session credit granted to it. */
  readonly sessionBytesReceived: number;
  /** Those of them that are used up, so that new credit is granted for them. */
  readonly sessionBytesConsumed: number;
}
