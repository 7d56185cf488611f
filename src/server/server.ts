// A whole server: socket, endpoint, engine and certificates, from its start to its drained end.

import { describeProvider, type ProviderName } from "../dtls/crypto/composed.ts";
import type { CryptoProvider } from "../dtls/crypto/provider.ts";
import { SingleUseTickets } from "../dtls/early_data.ts";
import { keyLogLine } from "../dtls/key_log.ts";
import type { DtlsServerOptions } from "../dtls/options.ts";
import { clientVerifier } from "../dtls/peer_verifier.ts";
import { TicketKeys } from "../dtls/ticket_keys.ts";
import { systemProvider } from "../dtls_runtime/system_provider.ts";
import { monotonicNow, UdpDriver } from "../net/driver.ts";
import { systemEntropy } from "../net/entropy.ts";
import { addressText, type DatagramSocket } from "../net/socket.ts";
import { listenUdp } from "../net/udp.ts";
import type { Engine, EngineStatus } from "../query/engine.ts";
import type { QueryLimits } from "../query/limits.ts";
import { SESSION_SETTINGS } from "../session/limits.ts";
import type { EventLog } from "../transport/event_log.ts";
import type { Permission } from "../session/permissions.ts";
import { DEFAULT_SESSION_LIMITS } from "../wire/handshake_payload.ts";
import { ALPN_PROTOCOL } from "../wire/protocol.ts";
import { type AuthenticationPolicy, Authenticator } from "./authenticator.ts";
import { ServerEndpoint } from "./endpoint.ts";
import { SERVER_LIMITS, type ServerLimits } from "./limits.ts";
import type { Logger } from "./log.ts";
import { Service } from "./service.ts";
import { createTokenCheck } from "./token_check.ts";
import { FILE_CHECK_MS, TrustFiles, type TrustPaths } from "./trust_files.ts";

const AGENT = "sqp-deno/0.1.0";

/** How often a draining server looks whether it is done. */
const DRAIN_CHECK_MS = 20;

/** What a server is made of. */
export interface ServerConfig {
  readonly hostname: string;
  /** 0: one of the system's choice. */
  readonly port: number;
  /** The database. The server closes it at its end. */
  readonly engine: Engine;
  readonly trust: TrustPaths;
  readonly policy: AuthenticationPolicy;
  /** What the principal of a certificate may do. */
  readonly certificatePermissions: readonly Permission[];
  /** What `iss` and `aud` of tokens have to be. */
  readonly tokens: { readonly issuer: string; readonly audience: string };
  readonly log: Logger;
  /** Takes lines of an SSLKEYLOGFILE: whoever has them can read everything. */
  readonly onKeyLogLine?: (line: string) => void;
  /** Makes the event log of each session. */
  readonly eventLog?: () => EventLog;
  readonly limits?: Partial<ServerLimits>;
  /** What one session may have open in the query layer, where it differs from the defaults. */
  readonly queries?: Partial<QueryLimits>;
  /** Where cryptographic primitives come from. Default: the fastest that is present for each. */
  readonly cryptography?: ProviderName;
}

/** A running server. */
export class Server implements AsyncDisposable {
  readonly #config: ServerConfig;
  readonly #provider: CryptoProvider;
  readonly #socket: DatagramSocket;
  readonly #tickets: TicketKeys;
  readonly #endpoint: ServerEndpoint;
  readonly #service: Service;
  readonly #driver: UdpDriver;
  readonly #fileTimer: ReturnType<typeof setInterval>;
  #refreshing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    config: ServerConfig,
    provider: CryptoProvider,
    files: TrustFiles,
    socket: DatagramSocket,
  ) {
    this.#config = config;
    this.#provider = provider;
    this.#socket = socket;
    const now = monotonicNow;
    const wake = () => this.#driver.wake();
    const { engine, log } = config;
    this.#tickets = new TicketKeys({ provider, entropy: systemEntropy }, now());
    this.#endpoint = new ServerEndpoint({
      dtls: dtlsOptions(config, provider, files, this.#tickets),
      session: {
        ...(config.eventLog !== undefined && { eventLog: config.eventLog }),
        entropy: systemEntropy,
        limits: DEFAULT_SESSION_LIMITS,
        settings: SESSION_SETTINGS,
        agent: AGENT,
      },
      ...(config.limits !== undefined && { limits: config.limits }),
      onHandshakeFailed: (address, reason, { message }) =>
        log.info("handshake failed", { address, reason, error: message }),
    }, now());
    const authenticator = new Authenticator({
      policy: config.policy,
      certificatePermissions: config.certificatePermissions,
      checkToken: createTokenCheck({
        keys: () => files.trust.tokenKeys,
        ...config.tokens,
        now,
      }),
    });
    this.#service = new Service({
      endpoint: this.#endpoint,
      engine,
      authenticator,
      log,
      ...(config.queries !== undefined && { queries: config.queries }),
      now,
      wake,
    });
    this.#driver = new UdpDriver(socket, this.#endpoint, () => this.#service.drainEvents());
    this.#fileTimer = setInterval(() => this.#refreshFiles(files), FILE_CHECK_MS);
  }

  /**
   * Starts a server. Throws `AddressError` where its address cannot be used, `CertificateFileError` where its
   * certificates cannot, `ProviderAbsentError` where the crypto provider is not there.
   */
  static async start(config: ServerConfig): Promise<Server> {
    const provider = systemProvider(config.cryptography);
    const files = await TrustFiles.open(config.trust, provider);
    return new Server(config, provider, files, listenUdp(config.hostname, config.port));
  }

  /** Where it listens, as `host:port`. */
  get address(): string {
    return addressText(this.#socket.address);
  }

  /** Which provider each cryptographic primitive comes from, as lines for a person. */
  get cryptography(): string {
    return describeProvider(this.#provider);
  }

  /** Counts of what was dropped and what happened, for operators and tests. */
  counters(): Readonly<Record<string, Readonly<Record<string, number>>>> {
    const { association, gate, transport } = this.#endpoint.drops();
    return {
      socket: this.#driver.counters.snapshot(),
      endpoint: this.#endpoint.counters.snapshot(),
      handshakeFailures: this.#endpoint.handshakeFailures.snapshot(),
      dtlsDrops: this.#endpoint.dtlsDrops,
      associationDrops: association,
      gateDrops: gate,
      transportDrops: transport,
      engine: this.#config.engine.status().counters,
    };
  }

  /** What the database is doing now. */
  get engineStatus(): EngineStatus {
    return this.#config.engine.status();
  }

  /** How many associations there are. */
  get clientCount(): number {
    return this.#endpoint.clientCount;
  }

  /**
   * Stops in order: clients get Termination, new requests are refused, running ones may take `drainMs`. Harmless
   * when called again.
   */
  close(drainMs: number = this.#config.limits?.drainMs ?? SERVER_LIMITS.drainMs): Promise<void> {
    this.#closing ??= this.#close(drainMs);
    return this.#closing;
  }

  async #close(drainMs: number): Promise<void> {
    clearInterval(this.#fileTimer);
    await this.#refreshing;
    const until = monotonicNow() + drainMs + SESSION_SETTINGS.lingerMs;
    this.#endpoint.drain(drainMs, monotonicNow());
    this.#service.drain();
    this.#driver.wake();
    while (!this.#endpoint.isDrained && monotonicNow() < until) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_CHECK_MS));
      this.#driver.wake();
    }
    await this.#config.engine.close();
    await this.#driver.close();
    this.#endpoint.destroy(monotonicNow());
    this.#tickets.destroy();
    this.#service.drainEvents();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #refreshFiles(files: TrustFiles): void {
    if (this.#refreshing !== undefined) return;
    const { log } = this.#config;
    this.#refreshing = files.refresh().then(
      (isChanged) => {
        if (isChanged) log.info("certificates read again");
      },
      (error) => log.error("certificates not read again", { error: String(error.message) }),
    ).finally(() => this.#refreshing = undefined);
  }
}

function dtlsOptions(
  config: ServerConfig,
  provider: CryptoProvider,
  files: TrustFiles,
  tickets: TicketKeys,
): DtlsServerOptions {
  const { policy, onKeyLogLine } = config;
  return {
    provider,
    entropy: systemEntropy,
    alpn: [ALPN_PROTOCOL],
    isAlpnRequired: true,
    clientCertificate: policy === "certificate" ? "required" : "optional",
    // On resumption as well: by the trust and the revocations of then.
    verifyPeer: clientVerifier(() => files.trust.store),
    tickets,
    cookieExemption: { tickets: new SingleUseTickets(systemEntropy) },
    // A getter: the credentials of a handshake are those of its beginning.
    get credentials() {
      return files.trust.credentials;
    },
    ...(onKeyLogLine !== undefined && {
      keyLog: (label, random, secret) => onKeyLogLine(keyLogLine(label, random, secret)),
    }),
  };
}
