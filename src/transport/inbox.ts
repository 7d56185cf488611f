// Received messages: each delivered once by its identity, whatever was lost, duplicated or sent again.

import type { Counters } from "../base/counters.ts";
import { decodeFragment } from "../wire/fragment.ts";
import { Flag, type Frame, MessageType } from "../wire/frame.ts";
import type { ReceiveCredit } from "./credit.ts";
import type { TransportDrop } from "./drops.ts";
import { TransportFault, TransportFaultCode } from "./fault.ts";
import {
  HANDSHAKE_REQUEST_BYTES_MAX,
  HANDSHAKE_RESPONSE_BYTES_MAX,
  type Role,
  type TransportLimits,
} from "./limits.ts";
import { MessageAssembler } from "./message_assembler.ts";
import { isCharged } from "./message_limits.ts";
import { SeenIds } from "./seen_ids.ts";

/** The types that only one role may send. */
const SENDER_ONLY: ReadonlyMap<MessageType, Role> = new Map<MessageType, Role>([
  [MessageType.QUERY, "client"],
  [MessageType.RESPONSE, "server"],
  [MessageType.HANDSHAKE_REQUEST, "client"],
  [MessageType.HANDSHAKE_RESPONSE, "server"],
  [MessageType.CANCEL, "client"],
]);

/** The types that carry a request_id, and those that carry 0; Error may do both. */
const OF_REQUEST: ReadonlySet<MessageType> = new Set([
  MessageType.QUERY,
  MessageType.RESPONSE,
  MessageType.CANCEL,
]);

/** A message that is complete, and the session credit that it holds until it is taken. */
export interface ReceivedMessage {
  readonly type: MessageType;
  readonly requestId: number;
  readonly payload: Uint8Array;
  readonly chargedBytes: number;
}

/** What is known of one request_id. */
interface RequestState {
  /** Bits `1 << type` of the messages that were delivered. */
  delivered: number;
  assemblers: Map<MessageType, MessageAssembler> | undefined;
  /** A Cancel that overtook its Query. */
  cancel: ReceivedMessage | undefined;
  /** The layer above has finished with it; what still comes is accounted for and dropped. */
  finished: boolean;
}

/** Receives messages of one peer. Its tables are bounded by `requestsMax`, its bytes by session credit. */
export class Inbox {
  readonly #role: Role;
  readonly #limits: TransportLimits;
  readonly #sessionCredit: ReceiveCredit;
  readonly #drops: Counters<TransportDrop>;
  readonly #deliver: (message: ReceivedMessage) => void;
  /** What belongs to no request. */
  readonly #session: RequestState = newRequest();
  readonly #requests = new Map<number, RequestState>();
  readonly #over: SeenIds;
  #largestSent = 0;
  #newestMove = -1;
  #bufferedBytes = 0;

  constructor(
    role: Role,
    limits: TransportLimits,
    sessionCredit: ReceiveCredit,
    drops: Counters<TransportDrop>,
    deliver: (message: ReceivedMessage) => void,
  ) {
    this.#role = role;
    this.#limits = limits;
    this.#sessionCredit = sessionCredit;
    this.#drops = drops;
    this.#deliver = deliver;
    this.#over = new SeenIds(limits.idGapMax);
  }

  /** Bytes set aside for messages that are not complete. */
  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** Requests that are not finished. */
  get openRequests(): number {
    return this.#requests.size;
  }

  /** Why a client may not send a Query with this id; `undefined` where it may. */
  refusal(requestId: number): string | undefined {
    if (requestId <= this.#largestSent) return "request ids rise";
    if (requestId > this.#largestSent + this.#limits.idGapMax) return "too large a gap of ids";
    if (!this.#over.hasRoom) return "too many ids were skipped";
    return this.#requests.size < this.#limits.requestsMax ? undefined : "too many open requests";
  }

  /** A client sent a Query: the answers to it are awaited from now on. */
  openRequest(requestId: number): void {
    this.#largestSent = Math.max(this.#largestSent, requestId);
    this.#over.use(requestId);
    this.#requests.set(requestId, newRequest());
  }

  /** Whether a request of this id may exist: not beyond what a client sent; any for a server. */
  mayExist(requestId: number): boolean {
    return this.#role === "server" || requestId <= this.#largestSent;
  }

  /** Whether the layer above has finished with a request, so that nothing of it is wanted any more. */
  isFinished(requestId: number): boolean {
    const request = this.#requests.get(requestId);
    return request === undefined ? this.#over.has(requestId) : request.finished;
  }

  /** Takes a frame of a message. Throws {@linkcode TransportFault} or `DecodeError`. */
  handle(frame: Frame, packetNumber: number): void {
    const { type, requestId } = frame;
    this.#checkSender(frame);
    // With a time to drain it says one thing and without another, and both may come: the session takes each as often
    // as it likes.
    if (type === MessageType.TERMINATION) {
      return this.#deliver({ type, requestId, payload: frame.payload, chargedBytes: 0 });
    }
    // Only the newest Move counts: it is sent again like everything, and may be overtaken.
    if (type === MessageType.MOVE) {
      if (packetNumber < this.#newestMove) return this.#drops.add("message seen");
      this.#newestMove = packetNumber;
      return this.#deliver({ type, requestId, payload: frame.payload, chargedBytes: 0 });
    }
    const request = requestId === 0 ? this.#session : this.#find(requestId);
    if (request === undefined) return this.#drops.add("request finished");
    if ((request.delivered & (1 << type)) !== 0) return this.#drops.add("message seen");
    const message = this.#assemble(request, frame);
    if (message === undefined) return;
    this.#accept(request, message);
  }

  #checkSender({ type, requestId, flags }: Frame): void {
    const only = SENDER_ONLY.get(type);
    const ofRequest = OF_REQUEST.has(type) || (type === MessageType.ERROR && requestId !== 0);
    if (only === this.#role || ofRequest !== (requestId !== 0)) {
      throw new TransportFault(
        TransportFaultCode.UNEXPECTED_MESSAGE,
        `type ${type} with request ${requestId}`,
      );
    }
    // A server forgets a request when it has answered: it could not tell what a fragment after that was charged.
    if (this.#role === "server" && type === MessageType.ERROR && (flags & Flag.FRAGMENT) !== 0) {
      throw new TransportFault(TransportFaultCode.UNEXPECTED_MESSAGE, "a client's Error in parts");
    }
  }

  /** The state of a request, made where a server sees it first; `undefined` where it is over. */
  #find(requestId: number): RequestState | undefined {
    const known = this.#requests.get(requestId);
    if (known !== undefined) return known;
    if (this.#over.has(requestId)) return undefined;
    if (this.#role === "client") {
      throw new TransportFault(
        TransportFaultCode.UNEXPECTED_MESSAGE,
        `request ${requestId} was never sent`,
      );
    }
    if (this.#requests.size >= this.#limits.requestsMax) {
      throw new TransportFault(TransportFaultCode.LIMIT_EXCEEDED, "too many requests");
    }
    this.#over.use(requestId);
    const request = newRequest();
    this.#requests.set(requestId, request);
    return request;
  }

  /** Returns the message where this frame completes it. */
  #assemble(request: RequestState, frame: Frame): ReceivedMessage | undefined {
    const { type, requestId, payload } = frame;
    const assembler = request.assemblers?.get(type);
    if ((frame.flags & Flag.FRAGMENT) === 0) {
      if (assembler !== undefined) {
        throw new TransportFault(TransportFaultCode.FRAGMENT_CONFLICT, "whole and in parts");
      }
      return { type, requestId, payload, chargedBytes: 0 };
    }
    const fragment = decodeFragment(payload);
    const chargedBytes = isCharged(type) ? fragment.totalBytes : 0;
    let parts = assembler;
    if (parts === undefined) {
      if (fragment.totalBytes > this.#totalBytesMax(type)) {
        throw new TransportFault(
          TransportFaultCode.MESSAGE_TOO_LARGE,
          `${fragment.totalBytes} bytes`,
        );
      }
      this.#sessionCredit.receive(chargedBytes);
      // What nobody waits for is counted, not kept.
      if (request.finished) return { type, requestId, payload, chargedBytes };
      parts = new MessageAssembler(fragment.totalBytes);
      this.#bufferedBytes += fragment.totalBytes;
      (request.assemblers ??= new Map()).set(type, parts);
    }
    const whole = parts.add(fragment);
    if (whole === undefined) return undefined;
    request.assemblers?.delete(type);
    this.#bufferedBytes -= whole.length;
    return { type, requestId, payload: whole, chargedBytes };
  }

  #totalBytesMax(type: MessageType): number {
    if (type === MessageType.HANDSHAKE_REQUEST) return HANDSHAKE_REQUEST_BYTES_MAX;
    if (type === MessageType.HANDSHAKE_RESPONSE) return HANDSHAKE_RESPONSE_BYTES_MAX;
    return this.#limits.messageBytesMax;
  }

  #accept(request: RequestState, message: ReceivedMessage): void {
    const { type } = message;
    const queryDelivered = (request.delivered & (1 << MessageType.QUERY)) !== 0;
    request.delivered |= 1 << type;
    if (request.finished) {
      this.#sessionCredit.consume(message.chargedBytes);
      this.#drops.add("request finished");
      this.#forgetIfOver(message.requestId, request);
      return;
    }
    if (type === MessageType.CANCEL && !queryDelivered) {
      request.cancel = message;
      return;
    }
    this.#deliver(message);
    if (type === MessageType.QUERY && request.cancel !== undefined) {
      this.#deliver(request.cancel);
      request.cancel = undefined;
    }
  }

  /**
   * The layer above has finished with a request: what still comes for it is dropped. A client's entry goes
   * once the answer has come, because the session credit of a fragmented answer is charged even when nobody
   * waits for it.
   */
  finishRequest(requestId: number): void {
    const request = this.#requests.get(requestId);
    if (request === undefined || request.finished) return;
    request.finished = true;
    for (const [type, assembler] of request.assemblers ?? []) {
      this.#bufferedBytes -= assembler.totalBytes;
      this.#sessionCredit.consume(assembler.totalBytes);
      request.delivered |= 1 << type;
    }
    request.assemblers = undefined;
    request.cancel = undefined;
    this.#forgetIfOver(requestId, request);
  }

  #forgetIfOver(requestId: number, request: RequestState): void {
    const answers = (1 << MessageType.RESPONSE) | (1 << MessageType.ERROR);
    if (this.#role === "client" && (request.delivered & answers) === 0) return;
    this.#requests.delete(requestId);
    this.#over.end(requestId);
  }

  /** Forgets everything. */
  close(): void {
    this.#requests.clear();
    this.#over.clear();
    this.#session.assemblers = undefined;
    this.#bufferedBytes = 0;
  }
}

function newRequest(): RequestState {
  return { delivered: 0, assemblers: undefined, cancel: undefined, finished: false };
}
