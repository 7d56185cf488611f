// Endpoints and clients on the loopback address, with certificates that everybody knows.

import {
  type CertificateAndKey,
  type ConnectDtlsOptions,
  type ListenDtlsOptions,
  PemLabel,
  pemText,
} from "../../src/dtls_runtime/mod.ts";
import {
  CA_CREDENTIAL,
  CLIENT_CREDENTIAL,
  P256_SERVER_CREDENTIAL,
  SERVER_CREDENTIAL,
  type TestCredential,
} from "../harness/credentials.ts";
import { testWith } from "../harness/permissions.ts";

/** A credential as people have it, in PEM. */
export function pemCredential({ certificate, pkcs8 }: TestCredential): CertificateAndKey {
  return {
    cert: pemText(PemLabel.certificate, certificate),
    key: pemText(PemLabel.privateKey, pkcs8),
  };
}

export const CA = pemText(PemLabel.certificate, CA_CREDENTIAL.certificate);
export const SERVER = pemCredential(SERVER_CREDENTIAL);
export const P256_SERVER = pemCredential(P256_SERVER_CREDENTIAL);
export const CLIENT = pemCredential(CLIENT_CREDENTIAL);

/** Options of a server that anybody may connect to. */
export const LISTEN: ListenDtlsOptions = { credentials: [SERVER] };

/** Options of a client of a server at `port`. */
export function connectTo({ port }: { readonly port: number }): ConnectDtlsOptions {
  return { hostname: "127.0.0.1", port, ca: CA };
}

export const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
export const bytes = (text: string) => new TextEncoder().encode(text);

/** Registers a test with sockets on the loopback address; ignored, by name, where there may be none. */
export function socketTest(name: string, fn: () => Promise<void>): void {
  testWith({ permissions: [{ name: "net", host: "127.0.0.1" }] }, name, fn);
}
