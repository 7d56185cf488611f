// Short byte strings that share memory: to allocate one by itself takes longer than to derive what it holds. What is
// needed for moments and what stays for long lie apart: a piece of memory stays as long as anything in it is used.

/** Bytes of one piece of memory for what is needed for moments, and for what stays. */
const PASSING_ROOM_BYTES = 4_096;
const LASTING_ROOM_BYTES = 1_024;

/** Bytes of the longest byte string that shares. */
const SHARING_BYTES_MAX = 256;

/** Memory that is given out piece by piece. */
class Rooms {
  readonly #roomBytes: number;
  #room: Uint8Array;
  #usedBytes = 0;

  constructor(roomBytes: number) {
    this.#roomBytes = roomBytes;
    this.#room = new Uint8Array(roomBytes);
  }

  take(lengthBytes: number): Uint8Array {
    if (lengthBytes > SHARING_BYTES_MAX) return new Uint8Array(lengthBytes);
    if (lengthBytes > this.#roomBytes - this.#usedBytes) {
      this.#room = new Uint8Array(this.#roomBytes);
      this.#usedBytes = 0;
    }
    const start = this.#usedBytes;
    this.#usedBytes = start + lengthBytes;
    return this.#room.subarray(start, this.#usedBytes);
  }
}

const passing = new Rooms(PASSING_ROOM_BYTES);
const lasting = new Rooms(LASTING_ROOM_BYTES);

/**
 * A byte string of zeros for this program's own use; a short one is a view of memory that others lie in. What callers
 * of the library are given has memory of its own, for they may hand it on to another thread with all that lies there.
 */
export function shortBytes(lengthBytes: number): Uint8Array {
  return passing.take(lengthBytes);
}

/** A copy in such memory. */
export function shortCopy(bytes: Uint8Array): Uint8Array {
  const copy = shortBytes(bytes.length);
  copy.set(bytes);
  return copy;
}

/** The same as {@linkcode shortBytes}, for what stays as long as an association. */
export function lastingBytes(lengthBytes: number): Uint8Array {
  return lasting.take(lengthBytes);
}
