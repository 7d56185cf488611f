// A handshake in which the test plays one of the two ends, with the keys of a key log.

import { assertEquals } from "@std/assert";
import { ByteReader } from "../../src/base/byte_reader.ts";
import { concatBytes } from "../../src/base/bytes.ts";
import { ContentType, HandshakeType } from "../../src/dtls/code_points.ts";
import { readHandshakeFragment } from "../../src/dtls/handshake_fragment.ts";
import type { DtlsAssociation } from "../../src/dtls/mod.ts";
import { CLIENT_CREDENTIAL, credential } from "./credentials.ts";
import { DtlsPair, type PairOptions } from "./dtls_pair.ts";
import { handshakeMessage, plaintextRecord, type SeenRecord } from "./dtls_records.ts";
import { delay, type LinkNode } from "./link.ts";

const { HANDSHAKE, ALERT } = ContentType;

/** Certificates both ways, no connection IDs. */
export const MUTUAL: PairOptions = {
  client: { credentials: [credential(CLIENT_CREDENTIAL)], connectionId: null },
  server: { clientCertificate: "required" },
};

/** The handshake messages in records, whole ones. */
function messagesOf(records: readonly SeenRecord[]): { type: number; body: Uint8Array }[] {
  return records.filter(({ type }) => type === HANDSHAKE).flatMap(({ content }) => {
    const reader = new ByteReader(content);
    const messages = [];
    while (reader.remaining > 0) messages.push(readHandshakeFragment(reader));
    return messages;
  });
}

/** One end in the middle of a handshake, its peer played by the test. */
export class Scripted {
  readonly pair: DtlsPair;
  readonly end: DtlsAssociation;
  readonly from: "client" | "server";
  /** What the real peer would have sent next. */
  readonly messages: { type: number; body: Uint8Array }[];
  nextSeq: number;
  #nextNumber = 100;

  /** With the peer in `from`: the other end has keys of epoch 2 and waits for the first message in them. */
  constructor(from: "client" | "server", options: PairOptions = MUTUAL) {
    let sent = 0;
    // Of the server's flight the ServerHello gets through, of the client's nothing.
    const firstRecord: LinkNode = (passage) => {
      const isFlight = sent++ >= 1;
      if (!isFlight || sent > 2) return isFlight ? [] : [passage];
      const lengthBytes = passage.bytes[11]! << 8 | passage.bytes[12]!;
      return [{ ...passage, bytes: passage.bytes.subarray(0, 13 + lengthBytes) }];
    };
    let sentByClient = 0;
    const noFlight: LinkNode = (passage) => sentByClient++ >= 2 ? [] : [passage];
    const links = from === "server"
      ? { toClient: [firstRecord, delay(10)] }
      : { toServer: [noFlight, delay(10)] };
    this.pair = new DtlsPair({ ...options, ...links });
    this.pair.simulation.advance(45);
    this.from = from;
    this.end = from === "server" ? this.pair.client : this.pair.server.association!;
    assertEquals(this.end.state, "handshaking");
    const flight = this.pair.sent.filter((one) => one.from === from).slice(
      from === "server" ? 1 : 2,
    );
    const records = flight.flatMap(({ bytes }) => this.pair.see(from, bytes));
    this.messages = messagesOf(records).filter(({ type }) => type !== HandshakeType.SERVER_HELLO);
    this.nextSeq = 2;
  }

  /** Sends a record with any content in an epoch. */
  record(type: number, content: Uint8Array, epoch: 2 | 3 = 2): void {
    const connectionId = this.end.receiveConnectionId;
    const form = { epoch, number: this.#nextNumber++, type, content, connectionId };
    this.end.handleDatagram(this.pair.kit(this.from, epoch).seal(form), this.pair.simulation.now);
    this.pair.simulation.settle();
  }

  /** Sends messages, each in a record, with the next numbers. */
  say(...messages: { type: number; body: Uint8Array }[]): this {
    for (const { type, body } of messages) {
      this.record(HANDSHAKE, handshakeMessage(type, this.nextSeq++, body));
    }
    return this;
  }

  /** The real message of a type. */
  real(type: number): { type: number; body: Uint8Array } {
    return this.messages.find((message) => message.type === type)!;
  }

  /** The alert that the end sent, or its state where it sent none. */
  get outcome(): string | number {
    const by = this.from === "server" ? "client" : "server";
    const alert = this.pair.sentBy(by).flatMap((bytes) => this.pair.see(by, bytes))
      .findLast(({ type }) => type === ALERT);
    return alert === undefined ? this.end.state : alert.content[1]!;
  }
}

/** Puts another body into a plaintext handshake message of this type and number, on its way. */
export function editedHello(
  type: number,
  messageSeq: number,
  edit: (body: Uint8Array) => Uint8Array | undefined,
): LinkNode {
  return (passage) => {
    const { bytes } = passage;
    if (bytes[0] !== HANDSHAKE || bytes[13] !== type || bytes[18] !== messageSeq) return [passage];
    const { body } = readHandshakeFragment(new ByteReader(bytes.subarray(13)));
    const edited = edit(body);
    if (edited === undefined) return [];
    const rest = bytes.subarray(13 + (bytes[11]! << 8 | bytes[12]!));
    const message = handshakeMessage(type, messageSeq, edited);
    const record = plaintextRecord(HANDSHAKE, message, messageSeq);
    return [{ ...passage, bytes: concatBytes(record, rest) }];
  };
}
