// DER, damaged inside: elements are dropped, repeated, swapped and changed, and the lengths around them set right.

import { concatBytes, EMPTY_BYTES } from "../../src/base/bytes.ts";
import { DecodeError } from "../../src/base/byte_reader.ts";
import { type DerElement, DerReader } from "../../src/dtls/x509/der_reader.ts";
import { tlv } from "../dtls/x509/certificate_builder.ts";
import type { Random } from "../harness/random.ts";
import { mutated, mutatedList } from "./mutation.ts";

/** Depth to which elements are taken apart. */
const DEPTH_MAX = 9;

/** Identifier octets that an element may be given. */
const TAGS = [
  1,
  2,
  3,
  4,
  5,
  6,
  10,
  12,
  19,
  22,
  23,
  24,
  30,
  48,
  49,
  128,
  129,
  130,
  134,
  135,
  160,
  161,
  163,
  164,
];

/** Changes one element somewhere in a DER element, or bytes of it blindly. */
export function mutatedDer(random: Random, der: Uint8Array, other: Uint8Array): Uint8Array {
  if (random.chance(0.15)) return mutated(random, der, other);
  const [element] = elementsOf(der);
  return element === undefined ? mutated(random, der, other) : changed(random, element, other, 0);
}

/** The elements one after the other; none where the bytes are no DER. */
function elementsOf(bytes: Uint8Array): readonly DerElement[] {
  const elements: DerElement[] = [];
  try {
    const reader = new DerReader(bytes);
    while (!reader.isEmpty) elements.push(reader.element());
    return elements;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return [];
  }
}

function changed(
  random: Random,
  element: DerElement,
  other: Uint8Array,
  depth: number,
): Uint8Array {
  const { tag, content } = element;
  // Extension values and keys are DER inside of a string of octets or bits.
  const prefix = tag === 0x03 ? content.subarray(0, 1) : EMPTY_BYTES;
  const inner = tag === 0x03 ? content.subarray(1) : content;
  const isNested = (tag & 0x20) !== 0 || tag === 0x03 || tag === 0x04;
  const elements = isNested && depth < DEPTH_MAX ? elementsOf(inner) : [];
  if (elements.length === 0) return changedLeaf(random, element, other);
  if (depth > 1 && random.chance(0.15)) return changedLeaf(random, element, other);
  const isDescent = random.chance(0.75);
  const parts = isDescent
    ? withOne(
      elements,
      random.integer(0, elements.length - 1),
      (one) => changed(random, one, other, depth + 1),
    )
    : mutatedList(
      random,
      elements.map(({ encoding }) => encoding),
      () => foreignElement(random, other),
      (encoding) => mutated(random, encoding, other),
    );
  return tlv(tag, prefix, ...parts);
}

function withOne(
  elements: readonly DerElement[],
  at: number,
  change: (element: DerElement) => Uint8Array,
): Uint8Array[] {
  return elements.map((element, i) => i === at ? change(element) : element.encoding);
}

/** Changes tag or content of an element that is taken as a whole. */
function changedLeaf(random: Random, { tag, content }: DerElement, other: Uint8Array): Uint8Array {
  if (random.chance(0.1)) return tlv(random.pick(TAGS), content);
  if (random.chance(0.05)) return tlv(tag);
  return tlv(tag, mutated(random, content.length === 0 ? new Uint8Array(1) : content, other));
}

/** An element from other DER, of any depth. */
function foreignElement(random: Random, other: Uint8Array): Uint8Array {
  let [element] = elementsOf(other);
  for (let depth = random.integer(0, 6); depth > 0 && element !== undefined; depth--) {
    const inside = elementsOf(element.content);
    if (inside.length === 0) break;
    element = random.pick(inside);
  }
  return element?.encoding ?? concatBytes(new Uint8Array([5, 0]));
}
