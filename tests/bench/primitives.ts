// What the cryptography of a handshake costs by itself: its calls, written down once, and made again without DTLS.

import type {
  Aead,
  AeadName,
  CryptoProvider,
  GroupName,
  Hash,
  HashName,
  KeyExchange,
  RecordNumberCipher,
  SignatureName,
  SigningKey,
} from "../../src/dtls/crypto/provider.ts";

/** A provider that hands every call on to another one and can make all of them again, with the same bytes. */
export class RecordedProvider implements CryptoProvider {
  readonly name: string;
  readonly #provider: CryptoProvider;
  #calls: (() => unknown)[] = [];

  constructor(provider: CryptoProvider) {
    this.name = provider.name;
    this.#provider = provider;
  }

  /** Forgets the calls so far. What was made by them is still used by those that follow. */
  forget(): void {
    this.#calls = [];
  }

  /** Makes the calls again, in their order. */
  replay(): void {
    for (const call of this.#calls) call();
  }

  #make<Result>(call: () => Result): Result {
    this.#calls.push(call);
    return call();
  }

  hash(name: HashName): Hash {
    return this.#recordedHash(() => this.#provider.hash(name));
  }

  #recordedHash(make: () => Hash): Hash {
    let hash: Hash;
    this.#make(() => hash = make());
    return {
      update: (bytes) => {
        const own = bytes.slice();
        this.#make(() => hash.update(own));
      },
      digest: () => this.#make(() => hash.digest()),
      copy: () => this.#recordedHash(() => hash.copy()),
    };
  }

  hmac(name: HashName, out: Uint8Array, key: Uint8Array, ...parts: readonly Uint8Array[]): void {
    const ownKey = key.slice();
    const ownParts = parts.map((part) => part.slice());
    this.#provider.hmac(name, out, key, ...parts);
    const ownOut = out.slice();
    this.#make(() => this.#provider.hmac(name, ownOut, ownKey, ...ownParts));
  }

  aead(name: AeadName, key: Uint8Array): Aead {
    const ownKey = key.slice();
    let aead!: Aead;
    this.#make(() => aead = this.#provider.aead(name, ownKey));
    return {
      tagBytes: aead.tagBytes,
      seal: (nonce, additionalData, plaintext, out) => {
        const own = [nonce, additionalData, plaintext].map((bytes) => bytes.slice());
        const [ownNonce, ownData, ownPlaintext] = own as [Uint8Array, Uint8Array, Uint8Array];
        const sealed = new Uint8Array(out.length);
        this.#make(() => aead.seal(ownNonce, ownData, ownPlaintext, sealed));
        out.set(sealed);
      },
      open: (nonce, additionalData, sealed, mayReplace) => {
        const own = [nonce, additionalData, sealed].map((bytes) => bytes.slice());
        const [ownNonce, ownData, ownSealed] = own as [Uint8Array, Uint8Array, Uint8Array];
        const room = new Uint8Array(sealed.length);
        return this.#make(() => {
          room.set(ownSealed);
          return aead.open(ownNonce, ownData, room, mayReplace);
        })?.slice();
      },
      destroy: () => this.#make(() => aead.destroy()),
    };
  }

  recordNumberCipher(name: AeadName, key: Uint8Array): RecordNumberCipher {
    const ownKey = key.slice();
    let cipher: RecordNumberCipher;
    this.#make(() => cipher = this.#provider.recordNumberCipher(name, ownKey));
    return {
      mask: (ciphertext) => {
        const own = ciphertext.slice();
        return this.#make(() => cipher.mask(own));
      },
      destroy: () => this.#make(() => cipher.destroy()),
    };
  }

  keyExchange(group: GroupName, randomness: Uint8Array): KeyExchange {
    const own = randomness.slice();
    let exchange!: KeyExchange;
    this.#make(() => exchange = this.#provider.keyExchange(group, own));
    const publicKeyOfExchange = () => this.#make(() => exchange.publicKey);
    return {
      group,
      get publicKey() {
        return publicKeyOfExchange();
      },
      sharedSecret: (peerPublicKey) => {
        const ownPublicKey = peerPublicKey.slice();
        return this.#make(() => exchange.sharedSecret(ownPublicKey))?.slice();
      },
      destroy: () => this.#make(() => exchange.destroy()),
    };
  }

  signingKey(pkcs8: Uint8Array): SigningKey {
    const key = this.#provider.signingKey(pkcs8);
    return {
      schemes: key.schemes,
      publicKey: key.publicKey,
      sign: (scheme, message) => {
        const own = message.slice();
        return this.#make(() => key.sign(scheme, own));
      },
    };
  }

  verify(
    scheme: SignatureName,
    publicKey: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
  ): boolean {
    const [key, text, proof] = [publicKey.slice(), message.slice(), signature.slice()];
    return this.#make(() => this.#provider.verify(scheme, key, text, proof));
  }
}
