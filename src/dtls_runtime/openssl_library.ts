// The system's libcrypto: where it lies, the functions of it that are used, and how it is opened without a question.
//
// OpenSSL promises that a program built against one 3.x runs with every later one, so that these functions, the
// deprecated ones among them, and the sizes of the structures that callers provide stay as they are as long as the
// library has this name.

import { opensslLibraryPaths } from "./openssl_paths.ts";

// Parameters are buffers, numbers, and pointers that libcrypto itself gave: nothing here computes an address.
const RELEASE = { parameters: ["pointer"], result: "void" } as const;
const STATUS_OF_POINTER = { parameters: ["pointer"], result: "i32" } as const;
const RAW_KEY = { parameters: ["i32", "pointer", "buffer", "usize"], result: "pointer" } as const;
const READ_DER = { parameters: ["pointer", "pointer"], result: "pointer" } as const;
const HASH_INIT = { parameters: ["buffer"], result: "i32" } as const;
const HASH_UPDATE = { parameters: ["buffer", "buffer", "usize"], result: "i32" } as const;
const HASH_FINAL = { parameters: ["buffer", "buffer"], result: "i32" } as const;

const SYMBOLS = {
  OPENSSL_init_crypto: { parameters: ["u64", "pointer"], result: "i32" },
  ERR_clear_error: { parameters: [], result: "void" },

  EVP_CIPHER_fetch: { parameters: ["pointer", "buffer", "pointer"], result: "pointer" },
  EVP_CIPHER_CTX_new: { parameters: [], result: "pointer" },
  EVP_CIPHER_CTX_free: RELEASE,
  EVP_CIPHER_CTX_ctrl: { parameters: ["pointer", "i32", "i32", "buffer"], result: "i32" },
  EVP_CipherInit_ex: {
    parameters: ["pointer", "pointer", "pointer", "buffer", "buffer", "i32"],
    result: "i32",
  },
  EVP_CipherUpdate: {
    parameters: ["pointer", "buffer", "buffer", "buffer", "i32"],
    result: "i32",
  },
  EVP_CipherFinal_ex: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },

  SHA256_Init: HASH_INIT,
  SHA256_Update: HASH_UPDATE,
  SHA256_Final: HASH_FINAL,
  SHA384_Init: HASH_INIT,
  SHA384_Update: HASH_UPDATE,
  SHA384_Final: HASH_FINAL,
  SHA512_Init: HASH_INIT,
  SHA512_Update: HASH_UPDATE,
  SHA512_Final: HASH_FINAL,

  BIO_new_mem_buf: { parameters: ["buffer", "i32"], result: "pointer" },
  BIO_free: STATUS_OF_POINTER,
  d2i_PrivateKey_bio: READ_DER,
  d2i_PUBKEY_bio: READ_DER,
  EVP_PKEY_new_raw_private_key: RAW_KEY,
  EVP_PKEY_new_raw_public_key: RAW_KEY,
  EVP_PKEY_get_raw_public_key: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
  EVP_PKEY_free: RELEASE,
  EVP_PKEY_CTX_new: { parameters: ["pointer", "pointer"], result: "pointer" },
  EVP_PKEY_CTX_free: RELEASE,
  EVP_PKEY_CTX_ctrl_str: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
  EVP_PKEY_derive_init: STATUS_OF_POINTER,
  EVP_PKEY_derive_set_peer: { parameters: ["pointer", "pointer"], result: "i32" },
  EVP_PKEY_derive: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
  EVP_PKEY_sign_init: STATUS_OF_POINTER,
  EVP_PKEY_sign: {
    parameters: ["pointer", "buffer", "buffer", "buffer", "usize"],
    result: "i32",
  },
  EVP_PKEY_verify_init: STATUS_OF_POINTER,
  EVP_PKEY_verify: {
    parameters: ["pointer", "buffer", "usize", "buffer", "usize"],
    result: "i32",
  },

  BN_bin2bn: { parameters: ["buffer", "i32", "pointer"], result: "pointer" },
  BN_set_flags: { parameters: ["pointer", "i32"], result: "void" },
  BN_clear_free: RELEASE,
  EC_GROUP_new_by_curve_name: { parameters: ["i32"], result: "pointer" },
  EC_POINT_new: { parameters: ["pointer"], result: "pointer" },
  EC_POINT_clear_free: RELEASE,
  EC_POINT_mul: {
    parameters: ["pointer", "pointer", "pointer", "pointer", "pointer", "pointer"],
    result: "i32",
  },
  EC_POINT_oct2point: {
    parameters: ["pointer", "pointer", "buffer", "usize", "pointer"],
    result: "i32",
  },
  EC_POINT_point2oct: {
    parameters: ["pointer", "pointer", "i32", "buffer", "usize", "pointer"],
    result: "usize",
  },
  EC_KEY_new_by_curve_name: { parameters: ["i32"], result: "pointer" },
  EC_KEY_oct2key: { parameters: ["pointer", "buffer", "usize", "pointer"], result: "i32" },
  EC_KEY_oct2priv: { parameters: ["pointer", "buffer", "usize"], result: "i32" },
  EC_KEY_check_key: STATUS_OF_POINTER,
  EC_KEY_free: RELEASE,
  ECDSA_sign: {
    parameters: ["i32", "buffer", "i32", "buffer", "buffer", "pointer"],
    result: "i32",
  },
  ECDSA_verify: {
    parameters: ["i32", "buffer", "i32", "buffer", "i32", "pointer"],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions of libcrypto that are used. */
export type Libcrypto = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** Something that libcrypto allocated. */
export type Pointer = Deno.PointerObject;

/** A call failed that no peer's input can make fail: memory is out, or the library is not what it should be. */
export class OpensslError extends Error {
  /** The name of this class. */
  override readonly name = "OpensslError";

  /** Names the function that failed, and empties the library's queue of errors. */
  constructor(libcrypto: Libcrypto, functionName: string) {
    libcrypto.ERR_clear_error();
    super(`${functionName} of libcrypto failed`);
  }
}

/** The pointer that a function gave. Throws {@linkcode OpensslError} where it gave none. */
export function given(
  libcrypto: Libcrypto,
  functionName: string,
  pointer: Deno.PointerValue,
): Pointer {
  if (pointer === null) throw new OpensslError(libcrypto, functionName);
  return pointer;
}

/** A text as C has it. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** Sizes up to this one are there as libcrypto takes them: those of what is hashed and derived. */
const COMMON_SIZE_MAX = 2_048;
const commonSizes = Array.from({ length: COMMON_SIZE_MAX + 1 }, (_, size) => BigInt(size));

/** A size as libcrypto takes it: a size_t, which a foreign function has as a bigint. */
export function sizeT(lengthBytes: number): bigint {
  return commonSizes[lengthBytes] ?? BigInt(lengthBytes);
}

/** OPENSSL_INIT_NO_LOAD_CONFIG: what a configuration file of the machine says is not for this program. */
const NO_LOAD_CONFIG = 0x80n;

/** The first library that this program may open and that has all the functions; never asks for a permission. */
export function openLibcrypto(): Libcrypto | undefined {
  if (typeof Deno === "undefined" || Deno.dlopen === undefined) return undefined;
  for (const path of opensslLibraryPaths(Deno.build.os)) {
    try {
      if (Deno.permissions.querySync({ name: "ffi", path }).state !== "granted") continue;
      const { symbols } = Deno.dlopen(path, SYMBOLS);
      if (symbols.OPENSSL_init_crypto(NO_LOAD_CONFIG, null) === 1) return symbols;
    } catch {
      // Not on this machine, or without one of the functions.
    }
  }
  return undefined;
}
