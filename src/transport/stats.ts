// Numbers about a transport for operators and tests.

import type { CongestionController } from "./congestion.ts";
import type { ReceiveCredit, SendCredit } from "./credit.ts";
import type { Inbox } from "./inbox.ts";
import type { LossState } from "./loss_state.ts";
import type { MessageSender } from "./message_sender.ts";
import type { PathMtu } from "./path_mtu.ts";
import type { ReceiveStreams } from "./receive_streams.ts";
import type { SendStreams } from "./send_streams.ts";

/** See `Transport.stats`. Packets are the ack-eliciting ones: sent = acknowledged + lost + in flight. */
export interface TransportStats {
  /** Bytes of the largest packet that the path is known to carry. */
  readonly packetBytes: number;
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
  /** Bytes charged to the session credit that the peer granted ... */
  readonly sessionBytesSent: number;
  /** ... and that credit. */
  readonly sessionCreditBytes: number;
  /** Bytes that the peer charged to the session credit granted to it. */
  readonly sessionBytesReceived: number;
  /** Those of them that are used up, so that new credit is granted for them. */
  readonly sessionBytesConsumed: number;
}

/** What numbers are gathered from. */
export interface StatsParts {
  readonly loss: LossState;
  readonly congestion: CongestionController;
  readonly pathMtu: PathMtu;
  readonly inbox: Inbox;
  readonly sendStreams: SendStreams;
  readonly receiveStreams: ReceiveStreams;
  readonly messages: MessageSender;
  readonly sendCredit: SendCredit;
  readonly receiveCredit: ReceiveCredit;
}

/** Gathers them. */
export function gatherStats(parts: StatsParts): TransportStats {
  const { loss, congestion, pathMtu, inbox, messages, sendCredit, receiveCredit } = parts;
  const { rtt } = loss;
  return {
    packetBytes: pathMtu.packetBytes,
    packetsSent: loss.packetsSent,
    packetsAcked: loss.packetsAcked,
    packetsLost: loss.packetsLost,
    packetsLate: loss.packetsLate,
    packetsInFlight: loss.packetsInFlight,
    bytesInFlight: loss.bytesInFlight,
    congestionWindow: congestion.congestionWindow,
    ssthresh: congestion.ssthresh,
    smoothedRttMs: rtt.smoothedRtt,
    rttvarMs: rtt.rttvar,
    minRttMs: rtt.minRtt,
    ptoCount: loss.ptoCount,
    openRequests: inbox.openRequests,
    sendStreams: parts.sendStreams.length,
    receiveStreams: parts.receiveStreams.length,
    waitingMessages: messages.length,
    sessionBytesSent: sendCredit.used,
    sessionCreditBytes: sendCredit.maximum,
    sessionBytesReceived: receiveCredit.received,
    sessionBytesConsumed: receiveCredit.consumed,
  };
}
