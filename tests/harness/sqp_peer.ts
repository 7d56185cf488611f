// A client that a script plays: authentic DTLS, and on it whatever packets a test writes.

import { type Milliseconds, NEVER } from "../../src/base/core.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import { DtlsAssociation, type DtlsClientOptions } from "../../src/dtls/mod.ts";
import { decodePacket, type Frame, MessageType, PacketWriter } from "../../src/wire/frame.ts";
import { decodeError } from "../../src/wire/error_payload.ts";
import {
  type Credential,
  decodeHandshakeResponse,
  DEFAULT_SESSION_LIMITS,
  encodeHandshakeRequest,
  type HandshakeRequest,
} from "../../src/wire/handshake_payload.ts";
import { decodeTermination } from "../../src/wire/termination_payload.ts";
import { EPOCH_MS } from "./clock.ts";
import { CA_CREDENTIAL, CLIENT_CREDENTIAL, credential, trusting } from "./credentials.ts";
import { Random } from "./random.ts";
import { ack, describe, message, type ScriptFrame } from "./script.ts";
import type { Party, SqpPair } from "./sqp_pair.ts";

/** Largest packet of a script. */
const PACKET_BYTES = 2_000;

/** A HandshakeRequest by certificate, or with these fields instead. */
export function handshakeRequest(fields: Partial<HandshakeRequest> = {}): ScriptFrame {
  const credential: Credential = { type: "certificate" };
  const payload = encodeHandshakeRequest({
    versions: [1],
    serialization: ["msgpack"],
    capabilities: [],
    limits: DEFAULT_SESSION_LIMITS,
    credential,
    ...fields,
  });
  return message(MessageType.HANDSHAKE_REQUEST, 0, payload);
}

/** Plays one client, packet by packet. */
export class ScriptedPeer implements Party {
  readonly address: string;
  readonly association: DtlsAssociation;
  isGone = false;
  /** The session_id of what it writes; the server's choice once it was told. */
  sessionId = 0n;
  nextNumber = 0;
  /** Whether it acknowledges packets by itself. */
  acks = true;
  /** Frames of the server other than Acks, in order. */
  readonly received: Frame[] = [];
  /** Whether the association has ended, by whatever. */
  isEnded = false;
  readonly #pair: SqpPair;
  readonly #out: Uint8Array[] = [];

  /** Adds itself to the pair and runs its DTLS handshake. */
  constructor(pair: SqpPair, address: string, dtls: Partial<DtlsClientOptions> = {}) {
    this.#pair = pair;
    this.address = address;
    this.association = DtlsAssociation.client({
      provider: nodeProvider,
      entropy: new Random(7).entropy(),
      verifyPeer: trusting(CA_CREDENTIAL),
      serverName: "localhost",
      credentials: [credential(CLIENT_CREDENTIAL)],
      alpn: ["sqp/1"],
      ...dtls,
    }, pair.now);
    pair.addParty(this);
    pair.runUntil(() => this.association.isHandshakeConfirmed || this.isEnded, 60_000);
  }

  /** Sends a packet of these frames. */
  write(...frames: ScriptFrame[]): void {
    this.writePacket(this.packet(...frames));
  }

  /** A packet of these frames with the next number. */
  packet(...frames: ScriptFrame[]): Uint8Array {
    const writer = new PacketWriter(this.nextNumber++, this.sessionId, PACKET_BYTES);
    for (const { type, flags, requestId, payload } of frames) {
      writer.frame(type, flags, requestId, payload.length).set(payload);
    }
    return writer.finish().slice();
  }

  /** Sends any bytes as a packet. */
  writePacket(bytes: Uint8Array): void {
    if (this.association.state === "connected") {
      this.#out.push(this.association.sealApplicationData(bytes));
    }
    this.#pair.settle();
  }

  /** Writes these frames and lets time pass until the answers have come. */
  exchange(...frames: ScriptFrame[]): void {
    this.write(...frames);
    this.#pair.advance(200);
  }

  /** Is let in. */
  enter(fields: Partial<HandshakeRequest> = {}): this {
    this.exchange(handshakeRequest(fields));
    if (this.sessionId === 0n) throw new Error(`not let in: ${this.said}`);
    return this;
  }

  /** What the server said, frame by frame, in the terms of `describe`. */
  get said(): string[] {
    return this.received.map(describe);
  }

  /** The names of the errors that the server sent, and the reasons of its Terminations. */
  get verdicts(): string[] {
    return this.received.flatMap(({ type, payload }) => {
      if (type === MessageType.ERROR) return [decodeError(payload).name];
      return type === MessageType.TERMINATION ? [`end: ${decodeTermination(payload).reason}`] : [];
    });
  }

  handleDatagram(bytes: Uint8Array, now: Milliseconds): void {
    this.association.handleDatagram(bytes, now);
  }

  handleTimeout(now: Milliseconds): void {
    this.association.handleTimeout(now);
  }

  pollTransmit(now: Milliseconds): Uint8Array | undefined {
    return this.association.pollTransmit(now) ?? this.#out.shift();
  }

  pollTimeout(): Milliseconds {
    return this.isGone ? NEVER : this.association.pollTimeout();
  }

  drainEvents(): number {
    let count = 0;
    for (let event; (event = this.association.pollEvent()) !== undefined; count++) {
      if (event.kind === "application-data") this.#onPacket(event.bytes);
      else if (event.kind !== "connected") this.isEnded = true;
    }
    return count;
  }

  #onPacket(packet: Uint8Array): void {
    const { sequenceNumber, frames } = decodePacket(packet);
    const told = frames.filter(({ type }) => type !== MessageType.ACK);
    this.received.push(...told);
    const response = told.find(({ type }) => type === MessageType.HANDSHAKE_RESPONSE);
    if (response !== undefined) {
      this.sessionId = decodeHandshakeResponse(response.payload).sessionId;
    }
    if (this.acks && told.length > 0) this.write(ack(sequenceNumber));
  }

  destroy(): void {
    this.association.close(EPOCH_MS);
  }
}
