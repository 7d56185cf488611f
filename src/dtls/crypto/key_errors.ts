// What the providers throw when they are given keys that they cannot use, or used wrongly: local faults, never a peer's.

/** A private key is of a kind that the provider does not support, or cannot be used with the scheme asked for. */
export class UnsupportedKeyError extends TypeError {
  override readonly name: string = "UnsupportedKeyError";
}

/** A key exchange was asked for a second shared secret: its private key serves once. */
export class KeyConsumedError extends Error {
  override readonly name = "KeyConsumedError";

  constructor() {
    super("the private key of this key exchange was used");
  }
}
