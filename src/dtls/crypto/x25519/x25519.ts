// X25519 (RFC 7748 section 5) in WebAssembly.

import { shortCopy } from "../../../base/short_bytes.ts";
import { equalBytes, fromHex } from "../../../base/bytes.ts";
import { basePointTable, multiplyBasePoint, TABLE_BYTES } from "./base_point.ts";
import { encode } from "./encoding.ts";
import { Field, hold, lanesOf, loadPair, storePair } from "./field.ts";
import { multiplyPoint } from "./ladder.ts";
import { type Callable, i32, ModuleBuilder } from "./wasm.ts";

/** Bytes of a scalar, and of a point. */
const X25519_BYTES = 32;

/** Bytes of the vectors that do not change. */
const CONSTANTS_BYTES_MAX = 1_024;

/** A module, and where its memory has what. */
interface X25519Program {
  /** Exports what {@linkcode X25519Exports} says. */
  readonly module: Uint8Array<ArrayBuffer>;
  readonly tableAddress: number;
  readonly scalarAddress: number;
  readonly pointAddress: number;
  readonly publicAddress: number;
  readonly secretAddress: number;
  /** What is computed with lies between the scalar and this address. */
  readonly secretsEnd: number;
}

/** The functions multiply a scalar with the base point, to the public value, and with a point, to the secret. */
interface X25519Exports {
  readonly memory: WebAssembly.Memory;
  readonly computePublic: () => void;
  readonly computeSecret: () => void;
  readonly computeBoth: () => void;
}

/** Puts the module together. */
export function x25519Program(): X25519Program {
  const module = new ModuleBuilder(CONSTANTS_BYTES_MAX);
  const tableAddress = module.reserve(TABLE_BYTES);
  const scalarAddress = module.reserve(X25519_BYTES);
  const pointAddress = module.reserve(X25519_BYTES);
  const publicAddress = module.reserve(X25519_BYTES);
  const secretAddress = module.reserve(X25519_BYTES);
  const scalar = i32.constant(scalarAddress);
  const field = new Field(module);
  // X and Z of each product, in two lanes.
  const [publicPoint, secretPoint] = [field.slot(), field.slot()];
  const withBasePoint = module.define(0, (body) => {
    multiplyBasePoint(body, field, publicPoint, scalar, i32.constant(tableAddress));
  });
  const withPoint = module.define(0, (body) => {
    multiplyPoint(body, field, secretPoint, scalar, i32.constant(pointAddress));
  });
  /** Writes the quotients of X and Z of both products, of which one that was not computed is zero. */
  const finish = module.define(0, (body) => {
    const [x, z, inverse] = [field.slot(), field.slot(), field.slot()];
    const [one, other] = [hold(body, loadPair(publicPoint)), hold(body, loadPair(secretPoint))];
    storePair(body, x, lanesOf(one, other, 0, 2));
    storePair(body, z, lanesOf(one, other, 1, 3));
    field.invert(body, inverse, z);
    field.multiply(body, x, x, inverse);
    encode(body, i32.constant(publicAddress), x, 0);
    encode(body, i32.constant(secretAddress), x, 1);
  });
  const computation = (name: keyof X25519Exports, ...steps: readonly Callable[]) => {
    module.define(0, (body) => steps.forEach((step) => body.do(step())), name);
  };
  computation("computePublic", withBasePoint, finish);
  computation("computeSecret", withPoint, finish);
  computation("computeBoth", withBasePoint, withPoint, finish);
  const secretsEnd = module.usedBytes;
  return {
    module: module.encode(),
    tableAddress,
    scalarAddress,
    pointAddress,
    publicAddress,
    secretAddress,
    secretsEnd,
  };
}

/** The function X25519, in a time that does not depend on what it is given. */
export class X25519 {
  readonly #exports: X25519Exports;
  /** The scalar, the point, the products, and all that is computed on the way: zeros between calls. */
  readonly #secrets: Uint8Array;
  readonly #scalar: Uint8Array;
  readonly #point: Uint8Array;
  readonly #publicValue: Uint8Array;
  readonly #secret: Uint8Array;

  constructor(program: X25519Program) {
    const { scalarAddress, secretsEnd } = program;
    const instance = new WebAssembly.Instance(new WebAssembly.Module(program.module));
    this.#exports = instance.exports as unknown as X25519Exports;
    const { buffer } = this.#exports.memory;
    new Float64Array(buffer, program.tableAddress).set(basePointTable());
    this.#secrets = new Uint8Array(buffer, scalarAddress, secretsEnd - scalarAddress);
    this.#scalar = new Uint8Array(buffer, scalarAddress, X25519_BYTES);
    this.#point = new Uint8Array(buffer, program.pointAddress, X25519_BYTES);
    this.#publicValue = new Uint8Array(buffer, program.publicAddress, X25519_BYTES);
    this.#secret = new Uint8Array(buffer, program.secretAddress, X25519_BYTES);
  }

  /** The product of a scalar's 32 bytes with the base point. */
  publicValue(scalar: Uint8Array): Uint8Array {
    try {
      this.#setScalar(scalar);
      this.#exports.computePublic();
      return shortCopy(this.#publicValue);
    } finally {
      this.#secrets.fill(0);
    }
  }

  /** The product of a scalar with a point's 32 bytes: zeros where that is zero. */
  secret(scalar: Uint8Array, point: Uint8Array): Uint8Array {
    try {
      this.#setScalar(scalar);
      this.#point.set(point);
      this.#exports.computeSecret();
      return shortCopy(this.#secret);
    } finally {
      this.#secrets.fill(0);
    }
  }

  /** Both products, which takes less than one after the other. */
  both(
    scalar: Uint8Array,
    point: Uint8Array,
  ): { readonly publicValue: Uint8Array; readonly secret: Uint8Array } {
    try {
      this.#setScalar(scalar);
      this.#point.set(point);
      this.#exports.computeBoth();
      return { publicValue: shortCopy(this.#publicValue), secret: shortCopy(this.#secret) };
    } finally {
      this.#secrets.fill(0);
    }
  }

  /** RFC 7748 section 5, of a scalar's bytes. */
  #setScalar(scalar: Uint8Array): void {
    const bytes = this.#scalar;
    bytes.set(scalar);
    // "set the three least significant bits of the first byte and the most significant bit of the last to zero, set the
    // second most significant bit of the last byte to 1"
    bytes[0]! &= 0xf8;
    bytes[31] = bytes[31]! & 0x7f | 0x40;
  }
}

/** RFC 7748 section 5.2: a scalar, a point, and their product. */
const SECRET_ANSWER = [
  "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
  "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
  "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
].map(fromHex) as [Uint8Array, Uint8Array, Uint8Array];

/** Section 6.1: a scalar, and its product with the base point. */
const PUBLIC_ANSWER = [
  "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
  "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
].map(fromHex) as [Uint8Array, Uint8Array];

/**
 * An instance of a program; `undefined` where this machine is not what it is for: without WebAssembly or its vectors,
 * or where what is multiplied and added is rounded in between, as WebAssembly allows.
 */
export function openX25519(program: X25519Program): X25519 | undefined {
  try {
    const x25519 = new X25519(program);
    const [scalar, point, secret] = SECRET_ANSWER;
    const [ownScalar, publicValue] = PUBLIC_ANSWER;
    const isExact = equalBytes(x25519.secret(scalar, point), secret) &&
      equalBytes(x25519.publicValue(ownScalar), publicValue);
    return isExact ? x25519 : undefined;
  } catch {
    // There is no WebAssembly, or it does not know the instructions, or this program may not compile any.
    return undefined;
  }
}
