// A small assembler of WebAssembly (Core Specification 3.0, chapter 5): what arithmetic in vectors of two numbers
// needs, and no more. Instructions are functions of the instructions that give their operands.

/** Bytes of instructions, a character each: engines put strings together without a copy of each part. */
export type Code = string;

const bytes = (...values: readonly number[]): Code => String.fromCharCode(...values);

/** Value types. */
const I32 = bytes(0x7f);
const I64 = bytes(0x7e);
const V128 = bytes(0x7b);

/** Control, and variables. */
const LOOP = bytes(0x03, 0x40);
const BRANCH_IF_TO_LOOP = bytes(0x0d, 0);
const CALL = bytes(0x10);
const END = bytes(0x0b);
const GET_LOCAL = bytes(0x20);
const SET_LOCAL = bytes(0x21);

/** Alignments, as the logarithms that the format has. */
const ALIGN_1 = 0;
const ALIGN_8 = 3;
const ALIGN_16 = 4;

/** LEB128, unsigned. */
function unsigned(value: number): Code {
  let code = "";
  for (let rest = value; code === "" || rest > 0; rest >>>= 7) {
    code += bytes(rest & 0x7f | (rest > 0x7f ? 0x80 : 0));
  }
  return code;
}

/** LEB128, signed. */
function signed(value: bigint): Code {
  for (let code = "", rest = value;; rest >>= 7n) {
    const low = Number(rest & 0x7fn);
    const isLast = rest >> 6n === 0n || rest >> 6n === -1n;
    code += bytes(isLast ? low : low | 0x80);
    if (isLast) return code;
  }
}

/** A whole number of 64 bits. */
function littleEndian(value: bigint): Code {
  return bytes(...new Uint8Array(BigUint64Array.of(BigInt.asUintN(64, value)).buffer));
}

/** The 64 bits of a number in floating point. */
export function bitsOf(value: number): bigint {
  return new BigUint64Array(Float64Array.of(value).buffer)[0]!;
}

const unary = (operation: Code) => (a: Code): Code => a + operation;
const binary = (operation: Code) => (a: Code, b: Code): Code => a + b + operation;
const load = (operation: Code, align: number) => (address: Code, offset = 0): Code =>
  address + operation + bytes(align) + unsigned(offset);
const store = (operation: Code, align: number) => (address: Code, value: Code, offset = 0): Code =>
  address + value + operation + bytes(align) + unsigned(offset);
const vector = (operation: number): Code => bytes(0xfd) + unsigned(operation);
const shift = (operation: Code) => (a: Code, bits: number): Code =>
  a + i32.constant(bits) + operation;

/** Whole numbers of 32 bits. */
export const i32 = {
  constant: (value: number): Code => bytes(0x41) + signed(BigInt(value | 0)),
  add: binary(bytes(0x6a)),
  sub: binary(bytes(0x6b)),
  mul: binary(bytes(0x6c)),
  and: binary(bytes(0x71)),
  xor: binary(bytes(0x73)),
  shl: binary(bytes(0x74)),
  shrS: binary(bytes(0x75)),
  shrU: binary(bytes(0x76)),
  ltU: binary(bytes(0x49)),
  loadByte: load(bytes(0x2d), ALIGN_1),
} as const;

/** Whole numbers of 64 bits. */
export const i64 = {
  constant: (value: bigint): Code => bytes(0x42) + signed(BigInt.asIntN(64, value)),
  add: binary(bytes(0x7c)),
  mul: binary(bytes(0x7e)),
  and: binary(bytes(0x83)),
  or: binary(bytes(0x84)),
  shl: binary(bytes(0x86)),
  shrS: binary(bytes(0x87)),
  shrU: binary(bytes(0x88)),
  ofI32: unary(bytes(0xac)),
  ofF64: unary(bytes(0xfc, 6)),
  load: load(bytes(0x29), ALIGN_1),
  store: store(bytes(0x37), ALIGN_8),
} as const;

/** Numbers in floating point. */
export const f64 = {
  ofI64: unary(bytes(0xb9)),
  load: load(bytes(0x2b), ALIGN_8),
  store: store(bytes(0x39), ALIGN_8),
} as const;

/** Two numbers of 64 bits side by side, in lane 0 and lane 1: `i...` as whole numbers, else in floating point. */
export const pair = {
  load: load(vector(0x00), ALIGN_16),
  store: store(vector(0x0b), ALIGN_16),
  /** The same whole number in both lanes. */
  iBoth: unary(vector(0x12)),
  /** A vector with another whole number in lane 1. */
  iWithLane1: (a: Code, value: Code): Code => a + value + vector(0x1e) + bytes(1),
  /** Two lanes of `a` and `b`, which have 0 and 1, and 2 and 3. */
  lanes: (a: Code, b: Code, lane0: number, lane1: number): Code => {
    const ofLane = (lane: number) => bytes(...Array.from({ length: 8 }, (_, i) => 8 * lane + i));
    return a + b + vector(0x0d) + ofLane(lane0) + ofLane(lane1);
  },
  and: binary(vector(0x4e)),
  or: binary(vector(0x50)),
  xor: binary(vector(0x51)),
  iShl: shift(vector(0xcb)),
  iShrU: shift(vector(0xcd)),
  iAdd: binary(vector(0xce)),
  /** All bits set where the whole numbers are equal, else none. */
  iEqual: binary(vector(0xd6)),
  add: binary(vector(0xf0)),
  sub: binary(vector(0xf1)),
  /** `a` times `b` plus `c`; where the machine does that in one step, rounded once. */
  multiplyAdd: (a: Code, b: Code, c: Code): Code => a + b + c + vector(0x107),
} as const;

/** A local variable of a function. */
export class Local {
  /** Its value. */
  readonly value: Code;
  readonly #index: number;
  readonly #body: Body;

  constructor(body: Body, index: number) {
    this.#body = body;
    this.#index = index;
    this.value = GET_LOCAL + unsigned(index);
  }

  /** Sets it. */
  set(value: Code): void {
    this.#body.do(value + SET_LOCAL + unsigned(this.#index));
  }
}

/**
 * Vectors that do not change, at the beginning of the memory: an instruction that has one in it takes engines several
 * steps, and to load it a single one.
 */
class Constants {
  readonly #bytesMax: number;
  readonly #offsets = new Map<Code, number>();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Loads a vector. Throws `RangeError` where there is no room for another. */
  load(lane0: bigint, lane1: bigint): Code {
    const value = littleEndian(lane0) + littleEndian(lane1);
    let offset = this.#offsets.get(value);
    if (offset === undefined) {
      offset = value.length * this.#offsets.size;
      if (offset + value.length > this.#bytesMax) throw new RangeError("too many constants");
      this.#offsets.set(value, offset);
    }
    return pair.load(i32.constant(0), offset);
  }

  /** What the memory begins with, in the binary format. */
  encode(): Code {
    return bytes(0) + i32.constant(0) + END + sized([...this.#offsets.keys()].join(""));
  }
}

/** What a function does. */
export class Body {
  /** Its parameters. */
  readonly parameters: readonly Code[];
  readonly #localTypes: Code[] = [];
  readonly #constants: Constants;
  #code: Code = "";

  constructor(parameterCount: number, constants: Constants) {
    this.#constants = constants;
    this.parameters = Array.from({ length: parameterCount }, (_, i) => GET_LOCAL + unsigned(i));
  }

  #local(type: Code): Local {
    const index = this.parameters.length + this.#localTypes.length;
    this.#localTypes.push(type);
    return new Local(this, index);
  }

  /** A variable of a whole number of 32 bits. */
  i32(): Local {
    return this.#local(I32);
  }

  /** A variable of a whole number of 64 bits. */
  i64(): Local {
    return this.#local(I64);
  }

  /** A variable of a vector. */
  pair(): Local {
    return this.#local(V128);
  }

  /** The same two numbers in floating point each time. */
  constant(lane0: number, lane1: number = lane0): Code {
    return this.bits(bitsOf(lane0), bitsOf(lane1));
  }

  /** The same two whole numbers each time. */
  bits(lane0: bigint, lane1: bigint = lane0): Code {
    return this.#constants.load(lane0, lane1);
  }

  /** Does something that leaves no value. */
  do(code: Code): void {
    this.#code += code;
  }

  /** Does something `count` times, at least once; the argument counts from 0. */
  repeat(count: Code, step: (index: Code) => void): void {
    const index = this.i32();
    index.set(i32.constant(0));
    this.do(LOOP);
    step(index.value);
    index.set(i32.add(index.value, i32.constant(1)));
    this.do(i32.ltU(index.value, count) + BRANCH_IF_TO_LOOP + END);
  }

  /** The function in the binary format. */
  encode(): Code {
    return sized(list(this.#localTypes.map((type) => bytes(1) + type)) + this.#code + END);
  }
}

const list = (items: readonly Code[]): Code => unsigned(items.length) + items.join("");
const sized = (code: Code): Code => unsigned(code.length) + code;
const section = (id: number, content: Code): Code => bytes(id) + sized(content);

/** Bytes of a page of memory. */
const PAGE_BYTES = 65_536;

/** A function of a module, as others call it. */
export type Callable = (...operands: readonly Code[]) => Code;

/** A module with one memory of its own, which is exported as `memory`. */
export class ModuleBuilder {
  readonly #functions: { readonly parameterCount: number; readonly code: Code }[] = [];
  readonly #exports: Code[] = [sized("memory") + bytes(2, 0)];
  readonly #constants: Constants;
  #usedBytes: number;

  /** The memory begins with constants, of so many bytes at most, a multiple of 16. */
  constructor(constantsBytesMax: number) {
    this.#constants = new Constants(constantsBytesMax);
    this.#usedBytes = constantsBytesMax;
  }

  /** Bytes of memory that are used so far, from the address 0 on. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** The address of so many bytes of memory, a multiple of 16, that nothing else uses. */
  reserve(lengthBytes: number): number {
    const address = this.#usedBytes;
    this.#usedBytes += lengthBytes;
    return address;
  }

  /** A function of addresses and counts, without a result, exported where it has a name. */
  define(parameterCount: number, write: (body: Body) => void, name?: string): Callable {
    const body = new Body(parameterCount, this.#constants);
    write(body);
    const index = unsigned(this.#functions.length);
    this.#functions.push({ parameterCount, code: body.encode() });
    if (name !== undefined) this.#exports.push(sized(name) + bytes(0) + index);
    return (...operands) => operands.join("") + CALL + index;
  }

  /** The module in the binary format. */
  encode(): Uint8Array<ArrayBuffer> {
    const types = this.#functions.map(({ parameterCount }) =>
      bytes(0x60) + list(Array.from({ length: parameterCount }, () => I32)) + list([])
    );
    const pages = unsigned(Math.ceil(this.#usedBytes / PAGE_BYTES));
    const code = bytes(0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0) +
      section(1, list(types)) +
      section(3, list(types.map((_, index) => unsigned(index)))) +
      section(5, list([bytes(1) + pages + pages])) +
      section(7, list(this.#exports)) +
      section(10, list(this.#functions.map(({ code }) => code))) +
      section(11, list([this.#constants.encode()]));
    return Uint8Array.from(code, (byte) => byte.charCodeAt(0));
  }
}
