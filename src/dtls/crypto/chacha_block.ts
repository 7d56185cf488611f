// The ChaCha20 block function (RFC 8439 section 2.3). @noble/ciphers refuses the block counter 2^32 - 1, which a peer
// can put into a sample, and has no form that keeps the key's words.

/** "expand 32-byte k" (RFC 8439 section 2.3). */
const CONSTANTS = Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);

/** Rounds come in pairs: columns, then diagonals. */
const DOUBLE_ROUNDS = 10;

/** Words of the state, and of a block. */
const STATE_WORDS = 16;

function littleEndianWord(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

function quarterRound(x: Uint32Array, a: number, b: number, c: number, d: number): void {
  // "a += b; d ^= a; d <<<= 16; c += d; b ^= c; b <<<= 12; a += b; d ^= a; d <<<= 8; c += d; b ^= c; b <<<= 7"
  let xa = x[a]! + x[b]! | 0;
  let xd = x[d]! ^ xa;
  xd = xd << 16 | xd >>> 16;
  let xc = x[c]! + xd | 0;
  let xb = x[b]! ^ xc;
  xb = xb << 12 | xb >>> 20;
  xa = xa + xb | 0;
  xd ^= xa;
  xd = xd << 8 | xd >>> 24;
  xc = xc + xd | 0;
  xb ^= xc;
  x[a] = xa;
  x[b] = xb << 7 | xb >>> 25;
  x[c] = xc;
  x[d] = xd;
}

/** The block function under one key of 32 bytes. */
export class ChaChaBlock {
  readonly #state = new Uint32Array(STATE_WORDS);
  readonly #working = new Uint32Array(STATE_WORDS);
  readonly #block = new Uint8Array(4 * STATE_WORDS);

  /** Copies the key. */
  constructor(key: Uint8Array) {
    this.#state.set(CONSTANTS);
    for (let i = 0; i < 8; i++) this.#state[4 + i] = littleEndianWord(key, 4 * i);
  }

  /**
   * The block of 64 bytes for 16 bytes of block counter (4 bytes, little-endian) and nonce, valid until the next
   * call.
   */
  block(counterAndNonce: Uint8Array): Uint8Array {
    const state = this.#state;
    for (let i = 0; i < 4; i++) state[12 + i] = littleEndianWord(counterAndNonce, 4 * i);
    const x = this.#working;
    x.set(state);
    for (let i = 0; i < DOUBLE_ROUNDS; i++) {
      quarterRound(x, 0, 4, 8, 12);
      quarterRound(x, 1, 5, 9, 13);
      quarterRound(x, 2, 6, 10, 14);
      quarterRound(x, 3, 7, 11, 15);
      quarterRound(x, 0, 5, 10, 15);
      quarterRound(x, 1, 6, 11, 12);
      quarterRound(x, 2, 7, 8, 13);
      quarterRound(x, 3, 4, 9, 14);
    }
    const block = this.#block;
    for (let i = 0; i < STATE_WORDS; i++) {
      const word = x[i]! + state[i]!;
      block[4 * i] = word;
      block[4 * i + 1] = word >>> 8;
      block[4 * i + 2] = word >>> 16;
      block[4 * i + 3] = word >>> 24;
    }
    return block;
  }

  /** Zeroes the key and what was made of it. */
  destroy(): void {
    this.#state.fill(0);
    this.#working.fill(0);
    this.#block.fill(0);
  }
}
