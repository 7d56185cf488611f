// What it costs to seal and to open one record, by suite and provider.

import { CipherSuite } from "../../src/dtls/code_points.ts";
import { type SuiteParameters, suiteParameters } from "../../src/dtls/cipher_suites.ts";
import type { CryptoProvider } from "../../src/dtls/crypto/provider.ts";
import { trafficKeys } from "../../src/dtls/key_schedule.ts";
import { DTLS_LIMITS } from "../../src/dtls/limits.ts";
import { readRecord } from "../../src/dtls/record.ts";
import {
  type CiphertextKeys,
  CiphertextOpener,
  CiphertextSealer,
} from "../../src/dtls/record_protection_13.ts";
import { figure, measureRate, PRESENT_PROVIDERS, type Table } from "./measure.ts";

const ROUND_MS = 120;
const APPLICATION_DATA = 23;
const EPOCH = 3;
/** Records that are sealed before they are opened: opening one twice would only find a replay. */
const BATCH_RECORDS = 64;

const SUITES = [
  ["AES-128-GCM", CipherSuite.TLS_AES_128_GCM_SHA256],
  ["AES-256-GCM", CipherSuite.TLS_AES_256_GCM_SHA384],
  ["ChaCha20-Poly1305", CipherSuite.TLS_CHACHA20_POLY1305_SHA256],
] as const;

/** The ciphers of one direction, from a secret that is always the same. */
export function recordKeys(provider: CryptoProvider, suite: SuiteParameters): CiphertextKeys {
  const secret = new Uint8Array(suite.hashBytes).fill(1);
  const { hash, aead } = suite;
  const { key, iv, recordNumberKey } = trafficKeys({ provider, hash, aead }, secret);
  return {
    aead: provider.aead(aead, key),
    numberCipher: provider.recordNumberCipher(aead, recordNumberKey),
    iv,
  };
}

/** Microseconds to seal and to open a record with so many bytes of content. */
function measure(provider: CryptoProvider, suite: SuiteParameters, contentBytes: number) {
  const content = new Uint8Array(contentBytes).fill(7);
  const keys = recordKeys(provider, suite);
  const noId = new Uint8Array(0);
  const sealer = new CiphertextSealer(EPOCH, suite, keys, noId);
  const seal = () => {
    const datagram = new Uint8Array(contentBytes + sealer.overheadBytes);
    sealer.seal(datagram, 0, APPLICATION_DATA, content);
    return datagram;
  };
  const sealsPerSecond = measureRate(seal, ROUND_MS);
  const batchSealer = new CiphertextSealer(EPOCH, suite, keys, noId);
  const batch = Array.from({ length: BATCH_RECORDS }, () => {
    const datagram = new Uint8Array(contentBytes + batchSealer.overheadBytes);
    batchSealer.seal(datagram, 0, APPLICATION_DATA, content);
    return datagram;
  });
  const openBatch = () => {
    const opener = new CiphertextOpener(EPOCH, keys, DTLS_LIMITS.replayWindowRecords);
    for (const datagram of batch) {
      const record = readRecord(datagram, 0, 0);
      if (record?.kind !== "ciphertext" || opener.open(record).kind !== "opened") {
        throw new Error("a record that was sealed does not open");
      }
    }
  };
  const opensPerSecond = measureRate(openBatch, ROUND_MS) * BATCH_RECORDS;
  sealer.destroy();
  return { sealUs: 1e6 / sealsPerSecond, openUs: 1e6 / opensPerSecond };
}

/** Seals and opens records of each suite with each provider. */
export function benchRecords(): Table {
  const rows: string[][] = [];
  for (const [name, suiteNumber] of SUITES) {
    const suite = suiteParameters(suiteNumber)!;
    for (const contentBytes of [1_200, 64]) {
      const seal = [`${name}, seal ${contentBytes} bytes`];
      const open = [`${name}, open ${contentBytes} bytes`];
      for (const provider of PRESENT_PROVIDERS) {
        const { sealUs, openUs } = measure(provider, suite, contentBytes);
        seal.push(figure(sealUs));
        open.push(figure(openUs));
      }
      rows.push(seal, open);
    }
  }
  const title = "Records: microseconds each, record number included";
  return { title, columns: ["", ...PRESENT_PROVIDERS.map(({ name }) => name)], rows };
}
