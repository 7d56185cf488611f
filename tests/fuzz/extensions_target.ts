// Extension blocks of every message that has one, both ways: in hellos, and under the keys of a handshake.

import { ByteReader, DecodeError } from "../../src/base/byte_reader.ts";
import { ByteWriter } from "../../src/base/byte_writer.ts";
import { decodeServerHello } from "../../src/dtls/hello_messages.ts";
import { ContentType, ExtensionType, HandshakeType } from "../../src/dtls/code_points.ts";
import { KEY_EXCHANGE_RANDOMNESS_BYTES } from "../../src/dtls/crypto/provider.ts";
import { groupName } from "../../src/dtls/cipher_suites.ts";
import { encodeCookie, type Extensions } from "../../src/dtls/extensions.ts";
import { HANDSHAKE_HEADER_BYTES } from "../../src/dtls/handshake_fragment.ts";
import { decodeHelloVerifyRequest } from "../../src/dtls/handshake_messages_12.ts";
import { readRecord } from "../../src/dtls/record.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { handshakeMessage, plaintextRecord } from "../harness/dtls_records.ts";
import type { Random } from "../harness/random.ts";
import { Op } from "./association_script.ts";
import { noteEvents, runScript } from "./association_target.ts";
import { cachedProvider } from "./cached_provider.ts";
import { mutatedExtensions, type RawExtension, readBlock, writeBlock } from "./message_mutation.ts";
import { mutatedList, replaced } from "./mutation.ts";
import { type RecordedMessage, type Recording, recordingsFor, startServer } from "./recording.ts";
import { type FuzzInput, type FuzzOutcome, type FuzzTarget, rule } from "./target.ts";

/** What the head's first byte says. */
const Kind = {
  /** Parts: ClientHellos, each to the endpoint of the shape in the head's second byte. */
  TO_SERVER: 0,
  /** The rest is a script for a client. */
  TO_CLIENT: 1,
} as const;

/** The messages of a server that have extensions. */
const WITH_EXTENSIONS: readonly number[] = [
  HandshakeType.SERVER_HELLO,
  HandshakeType.ENCRYPTED_EXTENSIONS,
  HandshakeType.CERTIFICATE_REQUEST,
  HandshakeType.NEW_SESSION_TICKET,
];

/** ClientHellos of one input. */
const HELLOS_MAX = 4;

/** The target. */
export const extensionsTarget: FuzzTarget = { name: "extensions", make, run };

function make(random: Random, kept: readonly FuzzInput[]): FuzzInput {
  if (kept.length > 0 && random.chance(0.1)) {
    const input = random.pick(kept);
    const foreign = () => random.pick(random.pick(kept));
    return [input[0]!, ...mutatedList(random, input.slice(1), foreign, foreign)];
  }
  return random.chance(0.5) ? toServer(random) : toClient(random);
}

function toServer(random: Random): FuzzInput {
  const recordings = recordingsFor("server");
  const shape = random.integer(0, recordings.length - 1);
  const hello = () => random.pick(recordings).messages[0]![0]!.body;
  const parts = Array.from({ length: HELLOS_MAX }, () => {
    const body = recordings[shape]!.messages[0]![0]!.body;
    return mutatedExtensions(random, HandshakeType.CLIENT_HELLO, body, hello());
  });
  return [new Uint8Array([Kind.TO_SERVER, shape]), ...parts];
}

function toClient(random: Random): FuzzInput {
  const recordings = recordingsFor("client");
  const shape = random.integer(0, recordings.length - 1);
  const recording = recordings[shape]!;
  const [stage, message] = random.pick(placesOf(recording));
  const { type, messageSeq, epoch } = message;
  const body = mutatedExtensions(
    random,
    type,
    message.body,
    random.pick(placesOf(recording))[1].body,
  );
  const content = handshakeMessage(type, messageSeq, body);
  const step = new ByteWriter().u8(Op.RECORD).u8(epoch).u8(ContentType.HANDSHAKE).bytes(content);
  return [new Uint8Array([Kind.TO_CLIENT]), new Uint8Array([shape, stage]), step.finish()];
}

/** The messages with extensions that a client is sent whole, with the number of the datagram. */
function placesOf({ messages }: Recording): [stage: number, message: RecordedMessage][] {
  return messages.flatMap((inDatagram, stage) =>
    inDatagram.filter(({ type, offset, body, messageBytes }) =>
      offset === 0 && body.length === messageBytes && WITH_EXTENSIONS.includes(type)
    ).map((message): [number, RecordedMessage] => [stage, message])
  );
}

function run(input: FuzzInput): FuzzOutcome {
  const [head = new Uint8Array(2), ...parts] = input;
  if (head[0] === Kind.TO_CLIENT) return runScript(recordingsFor("client"), parts);
  const recordings = recordingsFor("server");
  const features = new Set<string>();
  const end = startServer(recordings[(head[1] ?? 0) % recordings.length]!.shape);
  try {
    for (const [i, body] of parts.entries()) {
      const address = `198.51.100.${i % 250}:1`;
      const first = helloDatagram(body, 0);
      end.handle(first, EPOCH_MS, address);
      const answers = end.drain(EPOCH_MS);
      const answeredBytes = answers.reduce((sum, { length }) => sum + length, 0);
      rule(answeredBytes <= 3 * first.length, "more than three times the bytes");
      rule(end.endpoint!.associationCount <= i, "an association without a cookie");
      const second = answers[0] === undefined ? undefined : secondHello(body, answers[0]);
      features.add(second === undefined ? "refused" : "asked again");
      if (second === undefined) continue;
      end.handle(helloDatagram(second, 1), EPOCH_MS, address);
      const flight = end.drain(EPOCH_MS);
      features.add(flight.length === 0 ? "second refused" : "second answered");
      noteEvents([...end.events(), ...end.otherEvents()], features);
    }
    for (const name of Object.keys(end.endpoint!.drops.snapshot())) features.add(name);
    return { count: parts.length, features: [...features] };
  } finally {
    end.destroy(EPOCH_MS);
  }
}

function helloDatagram(body: Uint8Array, messageSeq: number): Uint8Array {
  const message = handshakeMessage(HandshakeType.CLIENT_HELLO, messageSeq, body);
  return plaintextRecord(ContentType.HANDSHAKE, message, messageSeq);
}

/** The ClientHello that an answer asks for; `undefined` where the answer asks for none. */
function secondHello(body: Uint8Array, answer: Uint8Array): Uint8Array | undefined {
  const record = readRecord(answer, 0, 0);
  if (record?.kind !== "plaintext" || record.type !== ContentType.HANDSHAKE) return undefined;
  const message = record.content.subarray(HANDSHAKE_HEADER_BYTES);
  return record.content[0] === HandshakeType.HELLO_VERIFY_REQUEST
    ? withLegacyCookie(body, decodeHelloVerifyRequest(message))
    : withRetry(body, decodeServerHello(message).extensions);
}

/** DTLS 1.2: the cookie stands after the session ID. */
function withLegacyCookie(body: Uint8Array, cookie: Uint8Array): Uint8Array {
  const reader = new ByteReader(body);
  reader.bytes(34);
  reader.opaque(1);
  const start = reader.offset;
  reader.opaque(1);
  const field = new ByteWriter().opaque(1, cookie).finish();
  return replaced(body, start, reader.offset, field);
}

/** DTLS 1.3: a cookie, and perhaps a share of another group. */
function withRetry(body: Uint8Array, asked: Extensions): Uint8Array | undefined {
  const block = readBlock(HandshakeType.CLIENT_HELLO, body);
  if (block === undefined) return undefined;
  const changes: RawExtension[] = [];
  const group = asked.get(ExtensionType.KEY_SHARE);
  if (group !== undefined) {
    changes.push({
      type: ExtensionType.KEY_SHARE,
      data: shareFor(new ByteReader(group).u16()),
    });
  }
  const cookie = asked.get(ExtensionType.COOKIE);
  if (cookie !== undefined) {
    changes.push({
      type: ExtensionType.COOKIE,
      data: encodeCookie(new ByteReader(cookie).opaque(2)),
    });
  }
  const kept = block.extensions.filter(({ type }) => changes.every((one) => one.type !== type));
  return writeBlock(block, [...changes, ...kept]);
}

function shareFor(group: number): Uint8Array {
  const name = groupName(group);
  if (name === undefined) throw new DecodeError("a group that this library does not know");
  const randomness = new Uint8Array(KEY_EXCHANGE_RANDOMNESS_BYTES).fill(7);
  const { publicKey } = cachedProvider.keyExchange(name, randomness);
  return new ByteWriter().vector(2, (writer) => writer.u16(group).opaque(2, publicKey)).finish();
}
