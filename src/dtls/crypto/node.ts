// The crypto provider on node:crypto: hashes, AEADs and record number masks here, key pairs in node_keys.ts.

import {
  type CipherGCM,
  type Cipheriv,
  createCipheriv,
  createDecipheriv,
  createHash,
  type DecipherGCM,
  type Hash as NodeRunningHash,
} from "node:crypto";
import {
  checkKey,
  checkNonce,
  checkRoom,
  checkSample,
  SAMPLE_BYTES,
  TAG_BYTES,
} from "./aead_shape.ts";
import { HASH_BYTES } from "./hkdf.ts";
import { DestroyedKeyError } from "./key_errors.ts";
import { writeMac } from "./mac_shape.ts";
import { nodeKeyExchange, nodeSigningKey, NodeVerifier, plainBytes } from "./node_keys.ts";
import type {
  Aead,
  AeadName,
  CryptoProvider,
  GroupName,
  Hash,
  HashName,
  KeyExchange,
  RecordNumberCipher,
} from "./provider.ts";
import { wasmX25519Exchange } from "./x25519/exchange.ts";

class NodeHash implements Hash {
  readonly #hash: NodeRunningHash;

  constructor(hash: NodeRunningHash) {
    this.#hash = hash;
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  digest(): Uint8Array {
    // node:crypto ends a hash with its digest, hence the copy.
    return plainBytes(this.#hash.copy().digest());
  }

  copy(): Hash {
    return new NodeHash(this.#hash.copy());
  }
}

/** Bytes of the blocks of each hash function. */
const BLOCK_BYTES: Readonly<Record<HashName, number>> = { sha256: 64, sha384: 128, sha512: 128 };

/** RFC 2104 section 2: "ipad = the byte 0x36 repeated B times, opad = the byte 0x5C repeated B times". */
const IPAD = 0x36;
const OPAD = 0x5c;

// Calls are synchronous, so that one of each serves all; both are zeros between calls.
/** K XOR ipad and the text, where that is no longer. */
const innerRoom = new Uint8Array(1_024);
/** K XOR opad and the inner hash. */
const outerRoom = new Uint8Array(128 + HASH_BYTES.sha512);

/** HMAC by two hashes: an object of node:crypto's own HMAC takes half as long again in Deno. */
function hmac(name: HashName, key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  const blockBytes = BLOCK_BYTES[name];
  const outerBytes = blockBytes + HASH_BYTES[name];
  // "Applications that use keys longer than B bytes will first hash the key using H"
  if (key.length > blockBytes) return hmac(name, createHash(name).update(key).digest(), parts);
  let end = blockBytes;
  for (const part of parts) end += part.length;
  const inner = end <= innerRoom.length ? innerRoom : new Uint8Array(end);
  inner.set(key);
  for (let i = 0; i < blockBytes; i++) {
    const byte = inner[i]!;
    inner[i] = byte ^ IPAD;
    outerRoom[i] = byte ^ OPAD;
  }
  let at = blockBytes;
  for (const part of parts) {
    inner.set(part, at);
    at += part.length;
  }
  // "H(K XOR opad, H(K XOR ipad, text))"
  const innerHash = createHash(name).update(inner.subarray(0, end)).digest();
  outerRoom.set(innerHash, blockBytes);
  const mac = createHash(name).update(outerRoom.subarray(0, outerBytes)).digest();
  inner.fill(0, 0, end);
  outerRoom.fill(0, 0, outerBytes);
  innerHash.fill(0);
  return mac;
}

// node:crypto's types tie each algorithm to its own class; all three work alike.
const TAG_OPTIONS = { authTagLength: TAG_BYTES };

function sealingCipher(name: AeadName, key: Uint8Array, nonce: Uint8Array): CipherGCM {
  return createCipheriv(name as "aes-128-gcm", key, nonce, TAG_OPTIONS);
}

function openingCipher(name: AeadName, key: Uint8Array, nonce: Uint8Array): DecipherGCM {
  return createDecipheriv(name as "aes-128-gcm", key, nonce, TAG_OPTIONS);
}

class NodeAead implements Aead {
  readonly tagBytes = TAG_BYTES;
  readonly #name: AeadName;
  #key: Uint8Array | undefined;

  constructor(name: AeadName, key: Uint8Array) {
    checkKey(name, key);
    this.#name = name;
    this.#key = key.slice();
  }

  #liveKey(): Uint8Array {
    if (this.#key === undefined) throw new DestroyedKeyError();
    return this.#key;
  }

  seal(
    nonce: Uint8Array,
    additionalData: Uint8Array,
    plaintext: Uint8Array,
    out: Uint8Array,
  ): void {
    checkNonce(nonce);
    checkRoom(plaintext, out);
    const cipher = sealingCipher(this.#name, this.#liveKey(), nonce);
    cipher.setAAD(additionalData);
    out.set(cipher.update(plaintext));
    cipher.final();
    out.set(cipher.getAuthTag(), plaintext.length);
  }

  open(
    nonce: Uint8Array,
    additionalData: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | undefined {
    checkNonce(nonce);
    const key = this.#liveKey();
    const lengthBytes = sealed.length - TAG_BYTES;
    if (lengthBytes < 0) return undefined;
    const decipher = openingCipher(this.#name, key, nonce);
    decipher.setAAD(additionalData);
    decipher.setAuthTag(sealed.subarray(lengthBytes));
    const plaintext = decipher.update(sealed.subarray(0, lengthBytes));
    try {
      decipher.final();
    } catch {
      plaintext.fill(0);
      return undefined;
    }
    return plainBytes(plaintext);
  }

  destroy(): void {
    this.#key?.fill(0);
    this.#key = undefined;
  }
}

/** AES-ECB of the sample. The cipher object lives as long as the key, and holds a resource until `destroy`. */
class NodeAesMask implements RecordNumberCipher {
  #cipher: Cipheriv | undefined;

  constructor(name: AeadName, key: Uint8Array) {
    checkKey(name, key);
    const cipher = createCipheriv(
      name === "aes-128-gcm" ? "aes-128-ecb" : "aes-256-ecb",
      key,
      null,
    );
    this.#cipher = cipher.setAutoPadding(false);
  }

  mask(ciphertext: Uint8Array): Uint8Array {
    checkSample(ciphertext);
    if (this.#cipher === undefined) throw new DestroyedKeyError();
    // RFC 9147 section 4.2.3: "Mask = AES-ECB(sn_key, Ciphertext[0..15])"
    return this.#cipher.update(ciphertext.subarray(0, SAMPLE_BYTES));
  }

  destroy(): void {
    this.#cipher?.final();
    this.#cipher = undefined;
  }
}

const ZEROS = new Uint8Array(16);

class NodeChaChaMask implements RecordNumberCipher {
  #key: Uint8Array | undefined;

  constructor(key: Uint8Array) {
    checkKey("chacha20-poly1305", key);
    this.#key = key.slice();
  }

  mask(ciphertext: Uint8Array): Uint8Array {
    checkSample(ciphertext);
    if (this.#key === undefined) throw new DestroyedKeyError();
    // RFC 9147 section 4.2.3: "treating the first 4 bytes of the ciphertext as the block counter and the next 12
    // bytes as the nonce". The system's cryptography takes the two as one, the counter first and little-endian.
    const cipher = createCipheriv("chacha20", this.#key, ciphertext.subarray(0, SAMPLE_BYTES));
    const mask = cipher.update(ZEROS);
    cipher.final();
    return mask;
  }

  destroy(): void {
    this.#key?.fill(0);
    this.#key = undefined;
  }
}

class NodeProvider implements CryptoProvider {
  readonly name = "node";
  readonly #verifier = new NodeVerifier();
  readonly signingKey = nodeSigningKey;
  readonly verify = this.#verifier.verify.bind(this.#verifier);

  hash(name: HashName): Hash {
    return new NodeHash(createHash(name));
  }

  keyExchange(group: GroupName, randomness: Uint8Array): KeyExchange {
    const own = group === "x25519" ? wasmX25519Exchange(randomness) : undefined;
    return own ?? nodeKeyExchange(group, randomness);
  }

  hmac(name: HashName, out: Uint8Array, key: Uint8Array, ...parts: readonly Uint8Array[]): void {
    writeMac(hmac(name, key, parts), out);
  }

  aead(name: AeadName, key: Uint8Array): Aead {
    return new NodeAead(name, key);
  }

  recordNumberCipher(name: AeadName, key: Uint8Array): RecordNumberCipher {
    return name === "chacha20-poly1305" ? new NodeChaChaMask(key) : new NodeAesMask(name, key);
  }
}

/**
 * The provider on node:crypto; of X25519, which takes three times as long there, on WebAssembly where the machine has
 * what that needs.
 */
export const nodeProvider: CryptoProvider = new NodeProvider();
