// The gate between DTLS and transport: until the principal is known one HandshakeRequest passes, and little is kept.

import type { Milliseconds } from "../base/core.ts";
import { Counters } from "../base/counters.ts";
import { HEADER_BYTES, MessageType } from "../wire/frame.ts";
import { LIMITS } from "../wire/limits.ts";

/** Why the gate dropped a packet. */
export type GateDropReason = "malformed" | "too-many" | "refused";

/** Where packets go that pass: a transport. */
export interface PacketSink {
  handleDatagram(packet: Uint8Array, now: Milliseconds, receivedAt?: Milliseconds): void;
}

interface HeldPacket {
  readonly packet: Uint8Array;
  readonly receivedAt: Milliseconds;
}

/**
 * Holds back what a client sends before it is let in. Packets of the HandshakeRequest and of acknowledgements pass; a
 * few others are kept as bytes, undecoded and unacknowledged, and the rest is dropped: the client sends them again.
 */
export class Gate {
  /** What was dropped, by reason. */
  readonly drops: Counters<GateDropReason> = new Counters();
  readonly #sink: PacketSink;
  #held: HeldPacket[] = [];
  #heldBytes = 0;
  #state: "shut" | "open" | "refused" = "shut";

  constructor(sink: PacketSink) {
    this.#sink = sink;
  }

  /** Takes one packet of the client. */
  handlePacket(packet: Uint8Array, now: Milliseconds): void {
    if (this.#state === "open") return this.#sink.handleDatagram(packet, now);
    const kind = packetKind(packet);
    if (kind === "malformed") return this.drops.add("malformed");
    if (kind === "handshake") return this.#sink.handleDatagram(packet, now);
    if (this.#state === "refused") return this.drops.add("refused");
    if (
      this.#held.length >= LIMITS.gatePacketsMax ||
      this.#heldBytes + packet.length > LIMITS.gateBytesMax
    ) return this.drops.add("too-many");
    this.#held.push({ packet, receivedAt: now });
    this.#heldBytes += packet.length;
  }

  /** The principal is known: what was held passes, and everything from now on. */
  open(now: Milliseconds): void {
    this.#state = "open";
    for (const { packet, receivedAt } of this.#held) {
      this.#sink.handleDatagram(packet, now, receivedAt);
    }
    this.#forget();
  }

  /** The client is not let in: what was held is zeroed, unparsed. Harmless when it was let in before. */
  refuse(): void {
    if (this.#state === "open") return;
    this.#state = "refused";
    for (const { packet } of this.#held) packet.fill(0);
    this.#forget();
  }

  #forget(): void {
    this.#held = [];
    this.#heldBytes = 0;
  }
}

/** What a packet is, by the types and lengths in its headers alone: no payload is looked at. */
function packetKind(packet: Uint8Array): "handshake" | "other" | "malformed" {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  let isHandshake = true;
  let at = 0;
  do {
    if (packet.length - at < HEADER_BYTES) return "malformed";
    const type = view.getUint16(at + 2);
    if (type !== MessageType.HANDSHAKE_REQUEST && type !== MessageType.ACK) isHandshake = false;
    at += HEADER_BYTES + view.getUint32(at + 20);
    if (at > packet.length) return "malformed";
  } while (at < packet.length);
  return isHandshake ? "handshake" : "other";
}
