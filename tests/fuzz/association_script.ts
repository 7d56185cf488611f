// The scripts that an association is put through: what is sent to it, from genuine material that was damaged.

import { concatBytes } from "../../src/base/bytes.ts";
import { ByteWriter } from "../../src/base/byte_writer.ts";
import { ContentType, HandshakeType } from "../../src/dtls/code_points.ts";
import { handshakeMessage, plaintextRecord } from "../harness/dtls_records.ts";
import type { Random } from "../harness/random.ts";
import { mutatedMessage } from "./message_mutation.ts";
import { mutated, mutatedList } from "./mutation.ts";
import { type RecordedMessage, type Recording, recordsOf } from "./recording.ts";
import type { FuzzInput } from "./target.ts";

/** What the first byte of a step says. */
export const Op = {
  /** A datagram from the peer's address. */
  DATAGRAM: 0,
  /** A byte that chooses an address, and a datagram from there. */
  STRANGER: 1,
  /** Epoch, content type, and a content that is sealed with the peer's keys. */
  RECORD: 2,
  /** Milliseconds, in two bytes. */
  WAIT: 3,
  /** The next datagram of the recording. */
  NEXT: 4,
} as const;

const STEPS_MAX = 48;

/** Makes a script from a recording or from a script that was kept. */
export function makeScript(
  random: Random,
  recordings: readonly Recording[],
  kept: readonly FuzzInput[],
): FuzzInput {
  if (kept.length > 0 && random.chance(0.15)) return mutatedScript(random, kept);
  const shape = random.integer(0, recordings.length - 1);
  const recording = recordings[shape]!;
  const stage = random.chance(0.3)
    ? recording.datagrams.length
    : random.integer(0, recording.datagrams.length);
  const maker = new StepMaker(random, recording, recordings, stage);
  const head = new Uint8Array([shape, stage]);
  if (random.chance(0.4)) {
    return [head, ...Array.from({ length: STEPS_MAX }, () => maker.unauthenticated())];
  }
  const count = random.integer(1, 6);
  return [head, ...Array.from({ length: count }, () => maker.anything())];
}

function mutatedScript(random: Random, kept: readonly FuzzInput[]): FuzzInput {
  const [head, ...steps] = random.pick(kept);
  const foreign = () => random.pick(random.pick(kept).slice(1)) ?? new Uint8Array([Op.NEXT]);
  const change = (step: Uint8Array) =>
    concatBytes(step.subarray(0, 1), mutated(random, step.subarray(1), foreign()));
  return [head!, ...mutatedList(random, steps, foreign, change).slice(0, STEPS_MAX)];
}

class StepMaker {
  readonly #random: Random;
  readonly #recording: Recording;
  readonly #recordings: readonly Recording[];
  readonly #stage: number;
  /** The messages that the end expects, from this stage on. */
  readonly #coming: readonly RecordedMessage[];
  #nextSeq: number;

  constructor(
    random: Random,
    recording: Recording,
    recordings: readonly Recording[],
    stage: number,
  ) {
    this.#random = random;
    this.#recording = recording;
    this.#recordings = recordings;
    this.#stage = stage;
    this.#coming = recording.messages.slice(stage).flat();
    const before = recording.messages.slice(0, stage).flat().at(-1);
    this.#nextSeq = this.#coming[0]?.messageSeq ??
      (before === undefined ? 0 : before.messageSeq + 1);
  }

  /** A step of any kind. */
  anything(): Uint8Array {
    const random = this.#random;
    const choice = random.integer(0, 9);
    if (choice === 0) return new Uint8Array([Op.NEXT]);
    if (choice === 1) {
      return new ByteWriter().u8(Op.WAIT).u16(random.pick([1, 250, 1_000, 2_100])).finish();
    }
    if (choice === 2) return this.unauthenticated();
    const epoch = this.#epoch();
    const [type, content] = choice <= 6 ? this.#handshakeRecord() : this.#otherRecord();
    return concatBytes(new Uint8Array([Op.RECORD, epoch, type]), content);
  }

  /** The epoch that the end expects, and seldom another one. */
  #epoch(): number {
    if (this.#random.chance(0.05)) return this.#random.integer(0, 3);
    return this.#coming[0]?.epoch ?? this.#recording.keys.dataEpoch;
  }

  /** A handshake message, or pieces of some: the next one, damaged; another one; one that is ahead. */
  #handshakeRecord(): [type: number, content: Uint8Array] {
    const random = this.#random;
    const [next] = this.#coming;
    const all = this.#recordings.flatMap(({ messages }) => messages.flat());
    const model = next !== undefined && random.chance(0.7) ? next : random.pick(all);
    let { type } = model;
    if (random.chance(0.08)) type = random.pick([...Object.values(HandshakeType), 0, 14, 16]);
    let { body } = model;
    if (random.chance(0.85)) body = mutatedMessage(random, type, body, random.pick(all).body);
    const seq = random.chance(0.8) ? this.#nextSeq : this.#nextSeq + random.integer(-2, 10);
    if (seq === this.#nextSeq) this.#nextSeq++;
    const messageSeq = Math.max(0, seq);
    if (random.chance(0.75)) {
      return [ContentType.HANDSHAKE, handshakeMessage(type, messageSeq, body)];
    }
    return [ContentType.HANDSHAKE, this.#pieces(type, messageSeq, body)];
  }

  /** Fragments that overlap, disagree, and come in any order. */
  #pieces(type: number, messageSeq: number, body: Uint8Array): Uint8Array {
    const random = this.#random;
    const pieces: Uint8Array[] = [];
    for (let i = random.integer(1, 4); i > 0; i--) {
      const offset = random.integer(0, body.length);
      const lengthBytes = random.integer(0, body.length - offset);
      const piece = handshakeMessage(type, messageSeq, body, offset, lengthBytes);
      pieces.push(random.chance(0.3) ? mutated(random, piece, body) : piece);
    }
    return concatBytes(...pieces);
  }

  #otherRecord(): [type: number, content: Uint8Array] {
    const random = this.#random;
    const bytes = random.bytes(random.integer(0, 40));
    switch (random.integer(0, 6)) {
      case 0:
        return [ContentType.ALERT, random.chance(0.5) ? bytes.subarray(0, 2) : bytes];
      case 1:
        return [ContentType.ACK, this.#ack()];
      case 2:
        return [ContentType.ACK, mutated(random, this.#ack(), bytes)];
      case 3:
        return [random.pick(Object.values(ContentType)), bytes];
      case 4:
        return [random.integer(0, 255), bytes];
      default:
        return [ContentType.APPLICATION_DATA, bytes];
    }
  }

  #ack(): Uint8Array {
    const random = this.#random;
    return new ByteWriter().vector(2, (writer) => {
      for (let i = random.integer(0, 12); i > 0; i--) {
        writer.u64Number(random.pick([0, 0, 2, 2, 3, 4])).u64Number(random.integer(0, 8));
      }
    }).finish();
  }

  /** A datagram that nobody vouches for. */
  unauthenticated(): Uint8Array {
    const random = this.#random;
    const bytes = this.#foreignDatagram();
    return random.chance(0.2)
      ? concatBytes(new Uint8Array([Op.STRANGER, random.integer(0, 7)]), bytes)
      : concatBytes(new Uint8Array([Op.DATAGRAM]), bytes);
  }

  #foreignDatagram(): Uint8Array {
    const random = this.#random;
    const own = random.chance(0.8) ? this.#recording : random.pick(this.#recordings);
    // What the end has not received yet would be the peer's word, as long as a record of it is whole.
    const isAll = own !== this.#recording || this.#stage === own.datagrams.length;
    const known = isAll ? [...own.datagrams, ...own.whole] : own.datagrams.slice(0, this.#stage);
    const pick = () => known.length === 0 ? random.bytes(60) : random.pick(known);
    const idBytes = own.ownId.length;
    if (random.chance(0.3)) {
      return mutated(random, withOtherRecords(random, pick(), pick(), idBytes), pick());
    }
    if (random.chance(0.1)) return random.bytes(random.integer(0, 80));
    if (random.chance(0.2)) {
      const [type, content] = random.chance(0.5) ? this.#handshakeRecord() : this.#otherRecord();
      return plaintextRecord(type, content, random.integer(0, 9));
    }
    return mutated(random, pick(), pick());
  }
}

/** Repeats, drops, swaps and inserts whole records of a datagram. */
function withOtherRecords(
  random: Random,
  datagram: Uint8Array,
  other: Uint8Array,
  idBytes: number,
): Uint8Array {
  const foreign = () => random.pick(recordsOf(other, idBytes));
  const records = mutatedList(
    random,
    recordsOf(datagram, idBytes),
    foreign,
    (record) => mutated(random, record, other),
  );
  return concatBytes(...records);
}
