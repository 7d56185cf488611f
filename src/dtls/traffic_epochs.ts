// The epochs of DTLS 1.3: what seals and opens records under a traffic secret (RFC 9147 section 4.2.1).

import type { SuiteParameters } from "./cipher_suites.ts";
import { type HandshakeIo, scheduleParameters } from "./handshake.ts";
import { trafficKeys } from "./key_schedule.ts";
import { type CiphertextKeys, CiphertextOpener, CiphertextSealer } from "./record_protection_13.ts";

/** What of the association the keys depend on. */
type EpochIo = Pick<HandshakeIo, "provider" | "limits" | "sendConnectionId">;

/** Seals the records of an epoch. The secret stays the caller's to zero. */
export function trafficSealer(
  io: EpochIo,
  epoch: number,
  suite: SuiteParameters,
  trafficSecret: Uint8Array,
): CiphertextSealer {
  const sealedRecordsMax = Math.min(suite.sealedRecordsMax, io.limits.sealedRecordsMax);
  return new CiphertextSealer(
    epoch,
    { sealedRecordsMax },
    ciphertextKeys(io, suite, trafficSecret),
    io.sendConnectionId,
  );
}

/** Opens the records of an epoch. The secret stays the caller's to zero. */
export function trafficOpener(
  io: EpochIo,
  epoch: number,
  suite: SuiteParameters,
  trafficSecret: Uint8Array,
): CiphertextOpener {
  const keys = ciphertextKeys(io, suite, trafficSecret);
  return new CiphertextOpener(epoch, keys, io.limits.replayWindowRecords);
}

function ciphertextKeys(
  { provider }: EpochIo,
  suite: SuiteParameters,
  trafficSecret: Uint8Array,
): CiphertextKeys {
  const { key, iv, recordNumberKey } = trafficKeys(
    scheduleParameters(provider, suite),
    trafficSecret,
  );
  const keys = {
    aead: provider.aead(suite.aead, key),
    numberCipher: provider.recordNumberCipher(suite.aead, recordNumberKey),
    iv,
  };
  key.fill(0);
  recordNumberKey.fill(0);
  return keys;
}
