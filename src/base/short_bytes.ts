// Short byte strings that share memory: to allocate one by itself takes longer than to derive what it holds.

/** Bytes of one piece of shared memory, which stays as long as any byte string in it is used. */
const ROOM_BYTES = 1_024;

/** Bytes of the longest byte string that shares. */
const SHARING_BYTES_MAX = 256;

let room = new Uint8Array(ROOM_BYTES);
let usedBytes = 0;

/**
 * A byte string of zeros for this program's own use; a short one is a view of memory that others lie in. What callers
 * of the library are given has memory of its own, for they may hand it on to another thread with all that lies there.
 */
export function shortBytes(lengthBytes: number): Uint8Array {
  if (lengthBytes > SHARING_BYTES_MAX) return new Uint8Array(lengthBytes);
  if (lengthBytes > ROOM_BYTES - usedBytes) {
    room = new Uint8Array(ROOM_BYTES);
    usedBytes = 0;
  }
  const start = usedBytes;
  usedBytes += lengthBytes;
  return room.subarray(start, usedBytes);
}

/** A copy in such memory. */
export function shortCopy(bytes: Uint8Array): Uint8Array {
  const copy = shortBytes(bytes.length);
  copy.set(bytes);
  return copy;
}
