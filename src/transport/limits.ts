// Every limit and constant of the transport, in one place; those that both ends share are the wire's.

import { HEADER_BYTES } from "../wire/frame.ts";
import { LIMITS } from "../wire/limits.ts";
import { STREAM_END_PREFIX_BYTES } from "../wire/stream_end.ts";

/** Constants that RFC 9002 recommends (appendix A.2 and B.1), in its order. Times in milliseconds. */
export const PACKET_THRESHOLD = 3;
/** Reordering in time before a packet counts as lost, in round-trip times. */
export const TIME_THRESHOLD = 9 / 8;
/** The finest timer that loss detection uses. */
export const GRANULARITY_MS = 1;
/** The round-trip time before the first sample. */
export const INITIAL_RTT_MS = 333;
/** Initial congestion window, in packets of full size. */
export const INITIAL_WINDOW_PACKETS = 10;
/** Bound of the initial congestion window where packets are large. */
export const INITIAL_WINDOW_BYTES = 14_720;
/** The congestion window never falls below so many packets of full size. */
export const MINIMUM_WINDOW_PACKETS = 2;
/** What is left of the congestion window after a loss. */
export const LOSS_REDUCTION_FACTOR = 0.5;
/** What CUBIC leaves of the window after a loss, and how fast it grows (RFC 9438, sections 4.6 and 5.1). */
export const CUBIC_BETA = 0.7;
export const CUBIC_C = 0.4;
/** HyStart++ compares the minimum of so many samples of a round (RFC 9406, section 4.3) ... */
export const HYSTART_RTT_SAMPLES = 8;
/** ... with that of the round before and a part of it ... */
export const MIN_RTT_DIVISOR = 8;
/** ... of at least this ... */
export const HYSTART_RTT_THRESHOLD_MS_MIN = 4;
/** ... and at most this. */
export const HYSTART_RTT_THRESHOLD_MS_MAX = 16;
/** How much slower conservative slow start is, and how many rounds it lasts. */
export const CSS_GROWTH_DIVISOR = 4;
export const CSS_ROUNDS = 5;
/** How much faster than one window in a round trip packets are sent (RFC 9002, section 7.7) ... */
export const PACING_GAIN = 1.25;
/** ... and in slow start, where the window doubles in a round trip ... */
export const PACING_GAIN_SLOW_START = 2;
/** ... and the time whose packets may go at once: that of a timer of the runtime, and some work. */
export const PACING_BURST_MS = 2;
/** The use of the window counts for so many round trips (RFC 7661, section 4.2) ... */
export const WINDOW_USE_ROUND_TRIPS = 3;
/** ... and at least so long. */
export const WINDOW_USE_MS_MIN = 1_000;
/** Persistent congestion is a loss of everything over so many probe timeouts. */
export const PERSISTENT_CONGESTION_THRESHOLD = 3;
/** How long an acknowledgement may be held back (RFC 9000, section 18.2). */
export const MAX_ACK_DELAY_MS: number = LIMITS.ackDelayMsMax;
/** Acknowledgement-eliciting packets after which one is sent at once (RFC 9000, section 13.2.2). */
export const ACK_EVERY_PACKETS = 2;
/** Packets that a probe timeout may send past the congestion window (RFC 9002, section 6.2.4). */
export const PROBES_PER_TIMEOUT = 2;

/** The smallest packet size that a path may be set to; anything sent whole fits it. */
export const PACKET_BYTES_MIN: number = HEADER_BYTES + LIMITS.wholePayloadBytesMax;
/** Largest payload of a message that is sent without FRAGMENT: one frame of the smallest packet. */
export const WHOLE_PAYLOAD_BYTES_MAX: number = LIMITS.wholePayloadBytesMax;
/** Largest Error payload in a StreamEnd, which is always sent whole. */
export const STREAM_ERROR_BYTES_MAX: number = LIMITS.wholePayloadBytesMax - STREAM_END_PREFIX_BYTES;
/** Longest HandshakeRequest. */
export const HANDSHAKE_REQUEST_BYTES_MAX: number = LIMITS.handshakeRequestBytesMax;
/** Longest HandshakeResponse. */
export const HANDSHAKE_RESPONSE_BYTES_MAX: number = LIMITS.handshakeResponseBytesMax;
/** Session credit that a client assumes until the server's limits are known. */
export const INITIAL_SESSION_CREDIT_TO_SERVER_BYTES: number = LIMITS.sessionCreditInitialClient;
/** Session credit that a server assumes until the client's limits are known. */
export const INITIAL_SESSION_CREDIT_TO_CLIENT_BYTES: number = LIMITS.sessionCreditInitialServer;
/** Stream credit that both assume until the peer's limits are known. */
export const INITIAL_STREAM_CREDIT_BYTES: number = LIMITS.streamCreditInitial;
/** Message length that both assume until the peer's limits are known. */
export const INITIAL_MESSAGE_BYTES_MAX: number = LIMITS.messageBytesMax;

/** Ack-eliciting packets that may be in flight: one Ack can report them, and some Acks among them. */
export const PACKETS_IN_FLIGHT_MAX = 1_920;
/** The congestion window never exceeds so many packets of full size. */
export const CONGESTION_WINDOW_PACKETS_MAX: number = PACKETS_IN_FLIGHT_MAX;
/** Lost packets that are remembered, so that one that was only late is noticed ... */
export const LOST_HISTORY_PACKETS = 1_024;
/** ... for so many probe timeouts after it was sent. */
export const LOST_HISTORY_PROBE_TIMEOUTS = 4;
/** How far late packets may raise the packet threshold ... */
export const PACKET_THRESHOLD_MAX = 64;
/** ... and the time threshold ... */
export const TIME_THRESHOLD_MAX = 2;
/** ... in steps of so many round-trip times ... */
export const TIME_THRESHOLD_STEP = 1 / 4;
/** ... until so many recovery periods in a row had nothing late (as RFC 8985, section 6.2, step 4). */
export const THRESHOLDS_KEPT_PERIODS = 16;
/** Packet numbers below the largest received that are told apart; older ones count as duplicates. */
export const RECEIVED_HISTORY_PACKETS: number = LIMITS.receivedHistoryPackets;
/** Sent packets without anything to acknowledge (Acks alone) that are remembered. */
export const ACK_ONLY_HISTORY_PACKETS = 1_024;
/** Separate ranges of request or stream ids seen. */
export const SEEN_RANGES_MAX = 4_096;
/** Separate ranges of received bytes of one stream or message. */
export const BYTE_RANGES_MAX = 2_048;
/** A stream's credit grows to what is read in so many round trips: a loss takes one, its repair another. */
export const CREDIT_ROUND_TRIPS = 4;
/** Packets that have arrived before larger ones are probed for: a session of a query or two is spared that. */
export const MTU_PROBE_AFTER_PACKETS = 8;
/** Probes of one size that are lost before it counts as too large (RFC 8899, section 5.1.2). */
export const MTU_PROBES_MAX = 3;
/** A gain in packet size that is not worth a search. */
export const MTU_STEP_BYTES = 16;
/** Losses of packets above the base size, with none arriving, after which the path is a black hole for them ... */
export const BLACK_HOLE_LOSSES = 4;
/** ... or probe timeouts in a row. */
export const BLACK_HOLE_PROBE_TIMEOUTS = 2;
/** When larger packets are tried again (RFC 8899, section 5.1.1), at most ... */
export const MTU_RAISE_MS = 600_000;
/** ... and after the first fall back, doubled with each. */
export const MTU_RAISE_MS_MIN = 10_000;
/** Room that a packet must have left before a part of something larger is put into it. */
export const PART_BYTES_MIN = 64;

/** Which end of a session a transport is. */
export type Role = "client" | "server";

/** What a peer may make this side hold, and what this side holds for a peer. */
export interface TransportLimits {
  /** Longest message that the peer may send. */
  readonly messageBytesMax: number;
  /**
   * Bytes of streams and of fragmented messages that the peer may have sent and the layer above not taken. To
   * keep slow readers from stopping others: at least `streamCreditBytes` times the streams that may be slow,
   * and `messageBytesMax`.
   */
  readonly sessionCreditBytes: number;
  /** Bytes of one stream that the peer may have sent and the layer above not taken. */
  readonly streamCreditBytes: number;
  /** Credit of one stream where it is read so fast that more is worth while (`credit_tuning.ts`) ... */
  readonly streamCreditBytesMax: number;
  /** ... and of the session with all that its streams have more. */
  readonly sessionCreditBytesMax: number;
  /** Streams that may be open at once, in each direction. */
  readonly streamsMax: number;
  /** Requests that may be open at once: sent by a client and not finished, received by a server and not finished. */
  readonly requestsMax: number;
  /** How far a request or stream id may lie above the largest one seen. */
  readonly idGapMax: number;
  /** Bytes of messages that wait for their acknowledgement; `sendMessage` throws beyond. */
  readonly sendMessageBytesMax: number;
  /** Bytes of one stream that wait for their acknowledgement; `writeStream` throws beyond. */
  readonly sendStreamBytesMax: number;
  /** Bytes of one stream that were sent and wait for their acknowledgement without keeping new ones waiting. */
  readonly sentStreamBytesMax: number;
  /** The event `stream-writable` comes when the bytes of a stream that wait to be sent fall below this. */
  readonly streamLowWaterBytes: number;
  /** Heartbeats that wait to be sent; the oldest is dropped beyond. */
  readonly heartbeatsMax: number;
  /** The peer counts as dead only after so many probe timeouts in a row ... */
  readonly deadProbeTimeoutsMin: number;
  /** ... and so much time without any packet of it. */
  readonly deadSilenceMs: number;
}

/** The limits where a configuration says nothing else. */
export const DEFAULT_TRANSPORT_LIMITS: TransportLimits = {
  messageBytesMax: LIMITS.messageBytesMax,
  sessionCreditBytes: LIMITS.sessionCreditBytes,
  streamCreditBytes: LIMITS.streamCreditBytes,
  streamCreditBytesMax: 8_388_608,
  sessionCreditBytesMax: 33_554_432,
  streamsMax: LIMITS.openStreamsMax,
  requestsMax: 1_024,
  idGapMax: LIMITS.idGapMax,
  sendMessageBytesMax: 67_108_864,
  sendStreamBytesMax: 8_388_608,
  sentStreamBytesMax: 4_194_304,
  streamLowWaterBytes: 131_072,
  heartbeatsMax: 4,
  deadProbeTimeoutsMin: 5,
  deadSilenceMs: 20_000,
};

/** What the peer said in the SQP handshake that it accepts. */
export interface PeerLimits {
  readonly messageBytesMax: number;
  readonly sessionCreditBytes: number;
  readonly streamCreditBytes: number;
}
