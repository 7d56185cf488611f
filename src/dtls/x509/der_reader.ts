// A strict reader of DER (X.690): definite, shortest lengths, canonical values, nothing past the end.

import { DecodeError } from "../../base/byte_reader.ts";

/** Identifier octets of the universal types that certificates use. */
export const DerTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  objectIdentifier: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  visibleString: 0x1a,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The identifier octet of a context-specific tag. */
export function contextTag(number: number, form: "primitive" | "constructed"): number {
  return (form === "constructed" ? 0xa0 : 0x80) | number;
}

/** One element: its identifier octet, its content, and all of its octets; views of what was read. */
export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly encoding: Uint8Array;
}

/** Reads DER elements one after the other. Every violation throws {@linkcode DecodeError}. */
export class DerReader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Whether nothing is left. */
  get isEmpty(): boolean {
    return this.#offset === this.#bytes.length;
  }

  /** The identifier octet of the next element, or `undefined` at the end. */
  peekTag(): number | undefined {
    return this.#bytes[this.#offset];
  }

  #octet(): number {
    const octet = this.#bytes[this.#offset];
    if (octet === undefined) throw new DecodeError("DER ends inside an element");
    this.#offset++;
    return octet;
  }

  #length(): number {
    const first = this.#octet();
    if (first < 0x80) return first;
    const octets = first & 0x7f;
    if (octets === 0 || octets > 4) throw new DecodeError("indefinite or absurd DER length");
    let length = 0;
    for (let i = 0; i < octets; i++) length = length * 256 + this.#octet();
    const shortest = length < 0x80 ? 0 : Math.ceil((32 - Math.clz32(length)) / 8);
    if (octets !== shortest) throw new DecodeError("a DER length is not the shortest");
    return length;
  }

  /** Reads the next element of any type. */
  element(): DerElement {
    const start = this.#offset;
    const tag = this.#octet();
    if ((tag & 0x1f) === 0x1f) throw new DecodeError("a DER tag number above 30");
    const length = this.#length();
    if (length > this.#bytes.length - this.#offset) {
      throw new DecodeError("DER ends inside an element");
    }
    const contentStart = this.#offset;
    this.#offset += length;
    return {
      tag,
      content: this.#bytes.subarray(contentStart, this.#offset),
      encoding: this.#bytes.subarray(start, this.#offset),
    };
  }

  /** Reads an element that must have this tag, and returns its content. */
  content(tag: number): Uint8Array {
    const element = this.element();
    if (element.tag !== tag) {
      throw new DecodeError(`DER tag ${hexTag(element.tag)} where ${hexTag(tag)} is expected`);
    }
    return element.content;
  }

  /** Reads an element that must have this tag, and returns a reader of its content. */
  nested(tag: number): DerReader {
    return new DerReader(this.content(tag));
  }

  /** Like {@linkcode DerReader.nested}, where the next element has this tag; else `undefined`. */
  optional(tag: number): DerReader | undefined {
    return this.peekTag() === tag ? this.nested(tag) : undefined;
  }

  /** Reads a SEQUENCE. */
  sequence(): DerReader {
    return this.nested(DerTag.sequence);
  }

  /** Reads a BOOLEAN; DER knows only 0x00 and 0xff. */
  boolean(): boolean {
    const content = this.content(DerTag.boolean);
    if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) {
      throw new DecodeError("not a DER BOOLEAN");
    }
    return content[0] === 0xff;
  }

  /** Reads an INTEGER that is not negative; its magnitude without leading zeros (zero is one octet). */
  unsigned(tag: number = DerTag.integer): Uint8Array {
    const content = this.content(tag);
    const first = content[0];
    if (first === undefined) throw new DecodeError("an empty INTEGER");
    if (first >= 0x80) throw new DecodeError("a negative INTEGER");
    if (first !== 0 || content.length === 1) return content;
    if (content[1]! < 0x80) throw new DecodeError("an INTEGER is not the shortest");
    return content.subarray(1);
  }

  /** Reads an INTEGER from 0 to 2^31 - 1. */
  smallInteger(tag: number = DerTag.integer): number {
    const magnitude = this.unsigned(tag);
    let value = 0;
    for (const octet of magnitude) value = value * 256 + octet;
    if (magnitude.length > 4 || value > 0x7fff_ffff) throw new DecodeError("INTEGER too large");
    return value;
  }

  /** Reads an OBJECT IDENTIFIER in dotted form. */
  objectIdentifier(): string {
    return decodeObjectIdentifier(this.content(DerTag.objectIdentifier));
  }

  /** Reads a BIT STRING of whole octets. */
  bitStringOctets(): Uint8Array {
    const content = this.content(DerTag.bitString);
    if (content[0] !== 0) throw new DecodeError("a BIT STRING that is not whole octets");
    return content.subarray(1);
  }

  /** Reads a BIT STRING of named bits: bit 0 of the standard is bit 0 of the result. At most 32 bits. */
  namedBits(): number {
    const content = this.content(DerTag.bitString);
    const unused = content[0];
    if (unused === undefined || unused > 7 || content.length > 5) {
      throw new DecodeError("not a BIT STRING of named bits");
    }
    if (content.length === 1) {
      if (unused !== 0) throw new DecodeError("unused bits in an empty BIT STRING");
      return 0;
    }
    // X.690 section 11.2.2: "the bitstring shall have all trailing 0 bits removed before it is encoded".
    const last = content.at(-1)!;
    if ((last & ((1 << unused) - 1)) !== 0) throw new DecodeError("unused bits are set");
    if ((last & (1 << unused)) === 0) throw new DecodeError("trailing zero bits");
    let bits = 0;
    for (let i = 0; i < 8 * (content.length - 1); i++) {
      if ((content[1 + (i >> 3)]! & (0x80 >> (i & 7))) !== 0) bits |= 1 << i;
    }
    return bits >>> 0;
  }

  /** Reads a UTCTime or GeneralizedTime as RFC 5280 restricts them; milliseconds since the Unix epoch. */
  time(): number {
    const { tag, content } = this.element();
    if (tag !== DerTag.utcTime && tag !== DerTag.generalizedTime) {
      throw new DecodeError("neither UTCTime nor GeneralizedTime");
    }
    if (content.length > 15) throw new DecodeError("not a time of RFC 5280");
    return decodeTime(String.fromCharCode(...content), tag === DerTag.utcTime);
  }

  /** Throws {@linkcode DecodeError} where something is left. */
  expectEnd(): void {
    if (!this.isEmpty) throw new DecodeError("trailing DER elements");
  }
}

function hexTag(tag: number): string {
  return `0x${tag.toString(16).padStart(2, "0")}`;
}

/** The dotted form of an object identifier's content octets. Throws {@linkcode DecodeError}. */
function decodeObjectIdentifier(content: Uint8Array): string {
  if (content.length === 0 || content.length > 64 || content.at(-1)! >= 0x80) {
    throw new DecodeError("not an OBJECT IDENTIFIER");
  }
  const arcs: bigint[] = [];
  let arc = 0n;
  let starts = true;
  for (const octet of content) {
    if (starts && octet === 0x80) throw new DecodeError("an arc is not the shortest");
    arc = (arc << 7n) | BigInt(octet & 0x7f);
    starts = octet < 0x80;
    if (starts) {
      arcs.push(arc);
      arc = 0n;
    }
  }
  const first = arcs[0]!;
  const root = first < 40n ? 0n : first < 80n ? 1n : 2n;
  return [root, first - 40n * root, ...arcs.slice(1)].join(".");
}

function decodeTime(text: string, isUtcTime: boolean): number {
  // RFC 5280 section 4.1.2.5.1: "UTCTime values MUST be expressed in Greenwich Mean Time (Zulu) and MUST include
  // seconds"; section 4.1.2.5.2: "GeneralizedTime values MUST NOT include fractional seconds".
  const match = (isUtcTime ? /^(\d{2})(\d{10})Z$/ : /^(\d{4})(\d{10})Z$/).exec(text);
  if (match === null) throw new DecodeError("not a time of RFC 5280");
  // "Where YY is greater than or equal to 50, the year SHALL be interpreted as 19YY".
  const yearDigits = Number(match[1]);
  const year = !isUtcTime ? yearDigits : yearDigits >= 50 ? 1900 + yearDigits : 2000 + yearDigits;
  const [month, day, hour, minute, second] = match[2]!.match(/\d{2}/g)!.map(Number) as number[];
  const date = new Date(0);
  date.setUTCFullYear(year, month! - 1, day!);
  date.setUTCHours(hour!, minute!, second!);
  const exact = date.getUTCFullYear() === year && date.getUTCMonth() === month! - 1 &&
    date.getUTCDate() === day && date.getUTCHours() === hour &&
    date.getUTCMinutes() === minute && date.getUTCSeconds() === second;
  if (!exact) throw new DecodeError("no such date");
  return date.getTime();
}
