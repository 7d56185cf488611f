// Lengths of texts in bytes of UTF-8, without encoding them.

/** Bytes of the UTF-8 form of a text without lone surrogates. */
export function utf8LengthBytes(text: string): number {
  let lengthBytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // Each half of a surrogate pair stands for two of the four bytes.
    if (unit >= 0x80) lengthBytes += unit >= 0x800 && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1;
  }
  return lengthBytes;
}

/**
 * The longest beginning of a text that takes at most `maxBytes` bytes, lone surrogates replaced. For texts that only
 * people read.
 */
export function clipText(text: string, maxBytes: number): string {
  let clipped = text.toWellFormed().slice(0, maxBytes);
  while (utf8LengthBytes(clipped) > maxBytes) {
    clipped = clipped.slice(
      0,
      clipped.length - Math.ceil((utf8LengthBytes(clipped) - maxBytes) / 3),
    );
  }
  return clipped.isWellFormed() ? clipped : clipped.slice(0, -1);
}
