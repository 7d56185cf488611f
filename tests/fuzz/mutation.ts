// Ways to damage bytes: blind ones, and those that keep lengths right so that the damage reaches an inner layer.

import { concatBytes } from "../../src/base/bytes.ts";
import type { Random } from "../harness/random.ts";

const TELLING_BYTES = [0, 1, 2, 3, 0x14, 0x16, 0x17, 0x1a, 0x2f, 0x7f, 0x80, 0xfe, 0xff];

/** Bytes that a blind mutation adds at most. */
const ADDED_BYTES_MAX = 40;

type Mutation = (random: Random, bytes: Uint8Array, other: Uint8Array) => Uint8Array;

/** A place in bytes that are not empty. */
const place = (random: Random, bytes: Uint8Array) => random.integer(0, bytes.length - 1);

function edited(bytes: Uint8Array, edit: (copy: Uint8Array) => void): Uint8Array {
  const copy = bytes.slice();
  edit(copy);
  return copy;
}

/** Replaces the range from `start` to `end`. */
export function replaced(
  bytes: Uint8Array,
  start: number,
  end: number,
  by: Uint8Array,
): Uint8Array {
  return concatBytes(bytes.subarray(0, start), by, bytes.subarray(end));
}

/** Adds to, or sets, a big-endian field of one to three bytes: nearly every field of one is a length. */
function editField(random: Random, bytes: Uint8Array): Uint8Array {
  const width = Math.min(random.integer(1, 3), bytes.length);
  const at = random.integer(0, bytes.length - width);
  return edited(bytes, (copy) => {
    let value = 0;
    for (let i = 0; i < width; i++) value = value * 256 + copy[at + i]!;
    const largest = 256 ** width - 1;
    const next = random.pick([value + 1, value - 1, 0, largest, value * 2, bytes.length - at]);
    let rest = Math.max(0, Math.min(next, largest));
    for (let i = width - 1; i >= 0; i--) {
      copy[at + i] = rest % 256;
      rest = Math.floor(rest / 256);
    }
  });
}

/** A range of at most 64 bytes. */
function range(random: Random, bytes: Uint8Array): [start: number, end: number] {
  const start = place(random, bytes);
  return [start, Math.min(bytes.length, start + random.integer(1, 64))];
}

const MUTATIONS: readonly Mutation[] = [
  (random, bytes) =>
    edited(bytes, (copy) => copy[place(random, bytes)]! ^= 1 << random.integer(0, 7)),
  (random, bytes) =>
    edited(bytes, (copy) => copy[place(random, bytes)] = random.pick(TELLING_BYTES)),
  (random, bytes) => edited(bytes, (copy) => copy[place(random, bytes)] = random.u32()),
  editField,
  editField,
  (random, bytes) => bytes.slice(0, place(random, bytes)),
  (random, bytes) => concatBytes(bytes, random.bytes(random.integer(1, ADDED_BYTES_MAX))),
  (random, bytes) => {
    const [start, end] = range(random, bytes);
    return replaced(bytes, start, end, new Uint8Array(0));
  },
  (random, bytes) => {
    const at = place(random, bytes);
    return replaced(bytes, at, at, random.bytes(random.integer(1, ADDED_BYTES_MAX)));
  },
  (random, bytes) => {
    const [start, end] = range(random, bytes);
    return replaced(bytes, end, end, bytes.subarray(start, end));
  },
  (random, bytes, other) => {
    if (other.length === 0) return bytes;
    const [start, end] = range(random, other);
    const at = place(random, bytes);
    return replaced(bytes, at, Math.min(bytes.length, at + end - start), other.slice(start, end));
  },
  (random, bytes, other) => {
    const at = random.integer(0, Math.min(bytes.length, other.length));
    return concatBytes(bytes.subarray(0, at), other.subarray(at));
  },
];

/** One to four blind mutations; `other` is where foreign bytes come from. */
export function mutated(random: Random, bytes: Uint8Array, other: Uint8Array): Uint8Array {
  let result = bytes;
  const count = random.chance(0.6) ? 1 : random.integer(2, 4);
  for (let i = 0; i < count && result.length > 0; i++) {
    result = random.pick(MUTATIONS)(random, result, other);
  }
  return result;
}

/** Drops, repeats, swaps, inserts or changes one item of a list. */
export function mutatedList<Item>(
  random: Random,
  items: readonly Item[],
  foreign: () => Item,
  change: (item: Item) => Item,
): Item[] {
  const at = random.integer(0, Math.max(0, items.length - 1));
  const item = items[at];
  if (item === undefined) return [foreign()];
  switch (random.integer(0, 5)) {
    case 0:
      return items.toSpliced(at, 1);
    case 1:
      return items.toSpliced(random.integer(0, items.length), 0, item);
    case 2:
      return random.shuffle(items);
    case 3:
      return items.toSpliced(random.integer(0, items.length), 0, foreign());
    default:
      return items.with(at, change(item));
  }
}
