// The transport of one session: RFC 9000 and 9002 on SQP's packets, without socket, clock or timer.

import { DecodeError } from "../base/byte_reader.ts";
import type { Core, Milliseconds } from "../base/core.ts";
import { Counters } from "../base/counters.ts";
import { Deadlines } from "../base/deadlines.ts";
import { decodeAck } from "../wire/ack.ts";
import { decodeCredit, SESSION_CREDIT } from "../wire/credit.ts";
import { decodePacket, Flag, type Frame, MessageType, type Packet } from "../wire/frame.ts";
import { URGENCY_DEFAULT, URGENCY_FIRST } from "../wire/urgency.ts";
import { AckState } from "./ack_state.ts";
import type { CongestionController } from "./congestion.ts";
import { ControlQueue, initialCredit, ReceiveCredit, SendCredit } from "./credit.ts";
import { CreditTuning } from "./credit_tuning.ts";
import { Cubic } from "./cubic.ts";
import type { TransportDrop } from "./drops.ts";
import { EventRecorder } from "./event_log.ts";
import { EventQueue } from "./event_queue.ts";
import type { TransportEvent } from "./events.ts";
import { TransportFault, TransportFaultCode, TransportLimitError } from "./fault.ts";
import { packFarewell } from "./farewell.ts";
import { checkNoRequest, checkPacketBytes, isAckedAtOnce } from "./frame_rules.ts";
import { Heartbeats } from "./heartbeats.ts";
import { Inbox, type ReceivedMessage } from "./inbox.ts";
import {
  INITIAL_MESSAGE_BYTES_MAX,
  type PeerLimits,
  type Role,
  type TransportLimits,
  WHOLE_PAYLOAD_BYTES_MAX,
} from "./limits.ts";
import { LossState } from "./loss_state.ts";
import { isOfRequest, payloadBytesMax } from "./message_limits.ts";
import { endsSession, MessageSender } from "./message_sender.ts";
import { PacketBuilder } from "./packer.ts";
import { PathMtu } from "./path_mtu.ts";
import { ReceiveStreams } from "./receive_streams.ts";
import { Scheduler } from "./scheduler.ts";
import { SendStreams } from "./send_streams.ts";
import { SessionIds } from "./session_ids.ts";
import { gatherStats, type TransportStats } from "./stats.ts";
import type { PathOptions, TransportOptions } from "./transport_options.ts";

/**
 * Reliable messages and streams over packets that may be lost, duplicated and reordered.
 *
 * A packet is what one protected record carries. After each call that may have changed something, the caller
 * drains `pollEvent` and `pollTransmit` until both return `undefined`, and arms one timer for `pollTimeout`.
 * Byte strings handed in, and packets handed to `handleDatagram`, belong to the transport from then on: they
 * are not copied, so they must not be changed.
 */
export class Transport implements Core<TransportEvent> {
  /** What was dropped, by reason. */
  readonly drops: Counters<TransportDrop> = new Counters<TransportDrop>();
  readonly #role: Role;
  readonly #limits: TransportLimits;
  readonly #pathMtu: PathMtu;
  readonly #sessionIds: SessionIds;
  readonly #congestion: CongestionController;
  readonly #loss: LossState;
  readonly #acks = new AckState();
  readonly #controls = new ControlQueue();
  readonly #sendCredit: SendCredit;
  readonly #receiveCredit: ReceiveCredit;
  readonly #messages: MessageSender;
  readonly #inbox: Inbox;
  readonly #sendStreams: SendStreams;
  readonly #receiveStreams: ReceiveStreams;
  readonly #heartbeats: Heartbeats;
  readonly #scheduler: Scheduler;
  readonly #events: EventQueue;
  readonly #recorder: EventRecorder | undefined;
  readonly #deadlines = new Deadlines("ack", "loss", "pace");
  #peerMessageBytesMax = INITIAL_MESSAGE_BYTES_MAX;
  #stopped = false;
  #closed = false;
  #farewell: Uint8Array | undefined;

  /** Throws `RangeError` where `maxPacketBytes` is too small. */
  constructor(options: TransportOptions, now: Milliseconds) {
    const { role, limits, maxPacketBytes, maxPacketBytesProbed, congestion, initialRttMs } =
      options;
    checkPacketBytes(maxPacketBytes);
    this.#pathMtu = new PathMtu(maxPacketBytes, maxPacketBytesProbed ?? maxPacketBytes);
    this.#role = role;
    this.#limits = limits;
    this.#sessionIds = new SessionIds(role === "client");
    this.#congestion = congestion ?? new Cubic(maxPacketBytes);
    this.#loss = new LossState(this.#congestion, limits, this.#pathMtu);
    this.#loss.onPacketReceived(now);
    if (initialRttMs !== undefined) this.#loss.rtt.setInitial(initialRttMs);

    const recorded = { loss: this.#loss, congestion: this.#congestion, pathMtu: this.#pathMtu };
    this.#recorder = options.eventLog && new EventRecorder(options.eventLog, recorded);
    const session = { streamId: SESSION_CREDIT, requestId: 0 };
    const initial = initialCredit(role, limits);
    this.#sendCredit = new SendCredit(session, initial.sendSession, this.#controls);
    this.#receiveCredit = new ReceiveCredit(session, initial.receiveSession, this.#controls);
    this.#events = new EventQueue(this.#receiveCredit);

    const emit = (event: TransportEvent) => this.#events.push(event);
    const shared = { role, limits, controls: this.#controls, drops: this.drops, emit };
    this.#messages = new MessageSender(this.#sendCredit);
    this.#inbox = new Inbox(
      role,
      limits,
      this.#receiveCredit,
      this.drops,
      (message) => this.#deliver(message),
    );
    this.#sendStreams = new SendStreams({
      ...shared,
      sessionCredit: this.#sendCredit,
      creditIsReserved: () => this.#messages.awaitsCredit,
    }, initial.sendStream);
    this.#receiveStreams = new ReceiveStreams({
      ...shared,
      sessionCredit: this.#receiveCredit,
      inbox: this.#inbox,
      tuning: new CreditTuning(this.#receiveCredit, this.#loss.rtt, limits),
    }, initial.receiveStream);
    this.#heartbeats = new Heartbeats(limits.heartbeatsMax);
    this.#scheduler = new Scheduler({
      loss: this.#loss,
      congestion: this.#congestion,
      acks: this.#acks,
      controls: this.#controls,
      heartbeats: this.#heartbeats,
      messages: this.#messages,
      pathMtu: this.#pathMtu,
      streams: this.#sendStreams,
      receiveCredit: this.#receiveCredit,
    });
  }

  // Received.

  /**
   * Takes one packet. `receivedAt` is when it came, where it was held back before (the gate does), so that the peer
   * does not take that for the path's delay. Never throws: a fault of the peer becomes an event.
   */
  handleDatagram(packet: Uint8Array, now: Milliseconds, receivedAt: Milliseconds = now): void {
    if (this.#stopped) return this.drops.add("stopped");
    try {
      const number = this.#handlePacket(decodePacket(packet), now, receivedAt);
      if (number !== undefined) this.#recorder?.onReceived(packet, number, now);
    } catch (error) {
      if (error instanceof TransportFault) this.#stop(error);
      else if (error instanceof DecodeError) {
        this.#stop(new TransportFault(TransportFaultCode.MALFORMED, error.message));
      } else throw error;
    }
    this.#recorder?.onChange(now);
    this.#arm();
  }

  /** Returns the packet's number where it is new. */
  #handlePacket(packet: Packet, now: Milliseconds, receivedAt: Milliseconds): number | undefined {
    const number = this.#acks.decodeNumber(packet.sequenceNumber);
    const judgement = this.#acks.judge(number);
    if (judgement !== "new") {
      this.drops.add(judgement === "old" ? "old packet" : "duplicate packet");
      return undefined;
    }
    this.#sessionIds.check(packet.frames, number);
    this.#loss.onPacketReceived(now);
    let eliciting = false;
    let atOnce = false;
    for (const frame of packet.frames) {
      this.#handleFrame(frame, number, now);
      if (frame.type !== MessageType.ACK) eliciting = true;
      if (isAckedAtOnce(frame)) atOnce = true;
    }
    this.#acks.onPacket(number, eliciting, atOnce, receivedAt);
    return number;
  }

  #handleFrame(frame: Frame, packetNumber: number, now: Milliseconds): void {
    switch (frame.type) {
      case MessageType.ACK:
        checkNoRequest(frame);
        return this.#loss.onAckReceived(decodeAck(frame.payload), now);
      case MessageType.STREAM_DATA:
        return this.#receiveStreams.handleData(frame);
      case MessageType.STREAM_END:
        return this.#receiveStreams.handleEnd(frame);
      case MessageType.CREDIT:
        return this.#handleCredit(frame);
      case MessageType.HEARTBEAT:
        checkNoRequest(frame);
        return this.#deliver({ ...frame, chargedBytes: 0 });
      default:
        return this.#inbox.handle(frame, packetNumber);
    }
  }

  #handleCredit(frame: Frame): void {
    const { streamId, maximum } = decodeCredit(frame.payload);
    const blocked = (frame.flags & Flag.BLOCKED) !== 0;
    if (streamId === SESSION_CREDIT) checkNoRequest(frame);
    if (blocked) {
      if (streamId === SESSION_CREDIT) this.#receiveCredit.onBlocked(maximum);
      else this.#receiveStreams.onBlocked(streamId, maximum);
    } else if (streamId === SESSION_CREDIT) {
      if (this.#sendCredit.raise(maximum)) this.#messages.chargeWaiting();
    } else this.#sendStreams.onCredit(streamId, frame.requestId, maximum);
  }

  #deliver({ type, requestId, payload, chargedBytes }: ReceivedMessage): void {
    this.#events.push({ kind: "message", type, requestId, payload }, chargedBytes);
  }

  /** A fault of the peer: nothing more is received or sent, except a farewell. */
  #stop(error: TransportFault): void {
    this.#release();
    this.#stopped = true;
    this.#events.push({ kind: "fault", error });
  }

  // Time.

  /** Runs what is due: probe timeouts and loss by time. Acknowledgements that are due come out of `pollTransmit`. */
  handleTimeout(now: Milliseconds): void {
    if (this.#stopped) return;
    const outcome = this.#loss.onTimeout(now);
    if (outcome !== "none") this.#recorder?.onTimer(outcome, now);
    if (outcome === "probe") this.#loss.repeatOldest(this.#loss.probesToSend);
    if (outcome === "dead") {
      const reason = `no answer to ${this.#loss.ptoCount} probe timeouts`;
      this.#events.push({ kind: "dead", reason });
    }
    this.#arm();
  }

  /** Packets did not reach the peer or were not read there, and now are: the back-off of probe timeouts begins anew. */
  restartProbes(): void {
    this.#loss.ptoCount = 0;
    this.#arm();
  }

  /** When {@linkcode handleTimeout} and {@linkcode pollTransmit} have to be called next. */
  pollTimeout(): Milliseconds {
    return this.#deadlines.next();
  }

  #arm(): void {
    if (this.#stopped) return;
    this.#congestion.setMaxPacketBytes(this.#pathMtu.packetBytes);
    this.#deadlines.set("ack", this.#acks.deadline());
    this.#deadlines.set("loss", this.#loss.deadline());
    this.#deadlines.set("pace", this.#scheduler.deadline());
  }

  // Sent.

  /** The next packet to send, or `undefined` when there is none for now. The next call may write over it. */
  pollTransmit(now: Milliseconds): Uint8Array | undefined {
    if (this.#stopped) return this.#takeFarewell();
    const builder = this.#scheduler.nextPacket(this.#sessionIds.own, now);
    if (builder === undefined) {
      this.#deadlines.set("pace", this.#scheduler.deadline());
      return undefined;
    }
    const { bytes, sent } = builder.finish();
    this.#loss.onPacketSent(sent);
    this.#recorder?.onSent(bytes, sent);
    if (sent.ackEliciting) this.#scheduler.onPacketSent(bytes.length);
    this.#arm();
    return bytes;
  }

  #takeFarewell(): Uint8Array | undefined {
    const packet = this.#farewell;
    this.#farewell = undefined;
    return packet;
  }

  // Events.

  /** The next event. Taking a message grants the session credit that its fragments held. */
  pollEvent(): TransportEvent | undefined {
    return this.#events.take();
  }

  // The layer above.

  /**
   * The SQP handshake is done: `sessionId` stands in every frame that is sent from now on, is expected in
   * those received, and the peer's limits replace the initial ones. A server calls it before it sends
   * HandshakeResponse, a client when it has read it.
   */
  setSession(sessionId: bigint, peerLimits: PeerLimits): void {
    if (this.#stopped) return this.drops.add("call after the end");
    try {
      this.#sessionIds.set(sessionId);
    } catch (error) {
      if (!(error instanceof TransportFault)) throw error;
      this.#stop(error);
      return;
    }
    this.#loss.rtt.handshakeConfirmed = true;
    this.#peerMessageBytesMax = Math.min(
      peerLimits.messageBytesMax,
      Math.max(peerLimits.sessionCreditBytes, this.#sendCredit.maximum),
    );
    this.#receiveCredit.enlarge(this.#limits.sessionCreditBytes);
    this.#receiveStreams.enlarge(this.#limits.streamCreditBytes);
    if (this.#sendCredit.raise(peerLimits.sessionCreditBytes)) this.#messages.chargeWaiting();
    this.#sendStreams.raiseInitialCredit(peerLimits.streamCreditBytes);
  }

  /**
   * The path is another one: round-trip time, congestion and packet size are learnt anew. Throws `RangeError` where
   * `maxPacketBytes` is too small.
   */
  changePath(path: PathOptions, now: Milliseconds): void {
    const { maxPacketBytes, maxPacketBytesProbed, initialRttMs } = path;
    checkPacketBytes(maxPacketBytes);
    if (this.#stopped) return;
    this.#pathMtu.restart(maxPacketBytes, maxPacketBytesProbed ?? maxPacketBytes);
    this.#congestion.setMaxPacketBytes(maxPacketBytes);
    this.#loss.changePath(initialRttMs);
    this.#recorder?.onPathChanged(now);
    this.#arm();
  }

  /**
   * Sends a message reliably: Query, Response, Error and the two handshake messages in fragments where they
   * are long, Termination, Cancel and Move in one frame. Of several Moves only the newest is sent again.
   * Requests and answers go in the order of `urgency`, other types as with the first. Throws {@linkcode
   * TransportLimitError} where the message is too long, the peer's limits or this side's buffer are exceeded, or a
   * Query's id does not rise; `TypeError` for other message types.
   */
  sendMessage(
    type: MessageType,
    requestId: number,
    payload: Uint8Array,
    urgency: number = URGENCY_DEFAULT,
  ): void {
    if (this.#stopped) return this.drops.add("call after the end");
    const lengthMax = payloadBytesMax(type, this.#role, this.#peerMessageBytesMax);
    if (payload.length > lengthMax) {
      throw new TransportLimitError(`a message of ${payload.length} bytes, ${lengthMax} allowed`);
    }
    const waitingBytes = this.#messages.bufferedBytes + payload.length;
    if (waitingBytes > this.#limits.sendMessageBytesMax && !endsSession(type, requestId)) {
      throw new TransportLimitError("too many bytes of messages wait");
    }
    if (type === MessageType.QUERY) {
      const refusal = this.#inbox.refusal(requestId);
      if (refusal !== undefined) throw new TransportLimitError(refusal);
      this.#inbox.openRequest(requestId);
    }
    this.#messages.send(type, requestId, payload, isOfRequest(type) ? urgency : URGENCY_FIRST);
  }

  /**
   * Sends a Heartbeat once; it elicits an acknowledgement. Throws {@linkcode TransportLimitError} where it
   * fits no packet.
   */
  sendHeartbeat(payload: Uint8Array): void {
    if (this.#stopped) return this.drops.add("call after the end");
    if (payload.length > WHOLE_PAYLOAD_BYTES_MAX) throw new TransportLimitError("too long");
    if (this.#heartbeats.add(payload)) this.drops.add("heartbeat replaced");
  }

  /**
   * Opens a stream that belongs to a request and returns its id. It goes behind everything more urgent, and takes turns
   * with streams of the same urgency. Throws {@linkcode TransportLimitError} where too many are open.
   */
  openStream(requestId: number, urgency: number = URGENCY_DEFAULT): number {
    if (this.#stopped) {
      this.drops.add("call after the end");
      return 0;
    }
    return this.#sendStreams.open(requestId, urgency);
  }

  /**
   * Appends bytes to a stream. Throws {@linkcode TransportLimitError} where too many wait: look at {@linkcode
   * streamBufferedBytes} before.
   */
  writeStream(streamId: number, bytes: Uint8Array): void {
    this.#sendStreams.write(streamId, bytes);
  }

  /**
   * Bytes written to a stream that wait to be sent, and those that were sent and have not arrived where they are many.
   * The event `stream-writable` tells when they are few again.
   */
  streamBufferedBytes(streamId: number): number {
    return this.#sendStreams.waitingBytesOf(streamId);
  }

  /** Ends a stream with FIN after what was written. */
  finishStream(streamId: number): void {
    this.#sendStreams.finish(streamId);
  }

  /**
   * Ends a stream with an Error payload instead; what has not arrived is dropped. Throws {@linkcode
   * TransportLimitError} for a long payload.
   */
  abortStream(streamId: number, errorPayload: Uint8Array): void {
    this.#sendStreams.abort(streamId, errorPayload);
  }

  /** The next bytes of a stream of the peer, `undefined` when there are none for now. Reading grants credit. */
  readStream(streamId: number): Uint8Array | undefined {
    return this.#receiveStreams.read(streamId);
  }

  /** Drops what a stream has and will have, and grants credit for it, so that no other stream waits. */
  stopStream(streamId: number): void {
    this.#receiveStreams.stop(streamId);
  }

  /** Forgets a request: what still comes of it is dropped. What was given for sending is still sent. */
  finishRequest(requestId: number): void {
    this.#receiveStreams.stopRequest(requestId);
    this.#inbox.finishRequest(requestId);
  }

  /**
   * After a fault: has one packet sent, once, whatever becomes of it, with a Termination and, where there is
   * one and both fit, an Error before it. Throws {@linkcode TransportLimitError} where the Termination is too long.
   */
  sendFarewell(termination: Uint8Array, error?: Uint8Array): void {
    if (termination.length > WHOLE_PAYLOAD_BYTES_MAX) throw new TransportLimitError("too long");
    if (!this.#stopped || this.#closed) return;
    const { nextNumber } = this.#loss;
    const builder = new PacketBuilder(
      nextNumber,
      this.#sessionIds.own,
      this.#pathMtu.packetBytes,
      0,
    );
    packFarewell(builder, termination, error);
    this.#farewell = builder.finish().bytes;
  }

  /** Ends everything and releases what is held. Events that wait are dropped. */
  close(): void {
    this.#release();
    this.#stopped = true;
    this.#closed = true;
    this.#farewell = undefined;
    this.#recorder?.close();
    this.#events.clear();
  }

  #release(): void {
    this.#deadlines.clearAll();
    this.#loss.close();
    this.#acks.close();
    this.#controls.clear();
    this.#messages.close();
    this.#inbox.close();
    this.#sendStreams.close();
    this.#receiveStreams.close();
    this.#heartbeats.clear();
  }

  // State, for tests and operators.

  /** Messages that have not arrived. */
  get waitingMessages(): number {
    return this.#messages.length;
  }

  /** Whether all that was given for sending has arrived. */
  get isDrained(): boolean {
    return this.#messages.length === 0 && this.#sendStreams.length === 0;
  }

  /** Bytes of messages, streams and fragments that are held. */
  get bufferedBytes(): number {
    return this.#messages.bufferedBytes + this.#sendStreams.bufferedBytes +
      this.#inbox.bufferedBytes + this.#receiveStreams.bufferedBytes + this.#events.chargedBytes;
  }

  /** Numbers about the path and the tables. Times in milliseconds. */
  stats(): TransportStats {
    return gatherStats({
      loss: this.#loss,
      congestion: this.#congestion,
      pathMtu: this.#pathMtu,
      inbox: this.#inbox,
      sendStreams: this.#sendStreams,
      receiveStreams: this.#receiveStreams,
      messages: this.#messages,
      sendCredit: this.#sendCredit,
      receiveCredit: this.#receiveCredit,
    });
  }
}
