// What every provider's HMAC has in common.

/** Throws `RangeError` where `out` is longer than an HMAC of `macBytes` bytes. */
export function checkMac(macBytes: number, out: Uint8Array): void {
  if (out.length > macBytes) {
    throw new RangeError(`an HMAC has ${macBytes} bytes, not ${out.length}`);
  }
}

/** Writes the beginning of an HMAC that is as long as `out`, and zeroes the HMAC. */
export function writeMac(mac: Uint8Array, out: Uint8Array): void {
  checkMac(mac.length, out);
  for (let i = 0; i < out.length; i++) out[i] = mac[i]!;
  mac.fill(0);
}
