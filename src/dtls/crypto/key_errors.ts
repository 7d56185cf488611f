// What the providers throw when they are given keys that they cannot use, or used wrongly: local faults, never a
// peer's.

/** A private key is of a kind that the provider does not support, or cannot be used with the scheme asked for. */
export class UnsupportedKeyError extends TypeError {
  /** The name of this class. */
  override readonly name: string = "UnsupportedKeyError";
}

/** A key exchange was asked for a second shared secret: its private key serves once. */
export class KeyConsumedError extends Error {
  /** The name of this class. */
  override readonly name = "KeyConsumedError";

  /** The message is always the same. */
  constructor() {
    super("the private key of this key exchange was used");
  }
}

/** A key or secret was used after `destroy()` had zeroed it. */
export class DestroyedKeyError extends Error {
  /** The name of this class. */
  override readonly name = "DestroyedKeyError";

  /** The message is always the same. */
  constructor() {
    super("the key was destroyed");
  }
}
