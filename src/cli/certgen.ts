// `deno task certgen`: the certificates of a development or private authority, and their revocation.

import {
  AUTHORITY_COMMON_NAME,
  certificatePaths,
  crlPath,
  DEFAULT_VALIDITY_DAYS,
  DEVELOPMENT_ALT_NAMES,
  expectFree,
  readAuthority,
  readAuthorityCrl,
  writeCrl,
  writeIssued,
} from "../server/certificate_directory.ts";
import { CertificateFileError, makeFolder } from "../server/certificate_files.ts";
import { findSerialNumber, listCertificates } from "../server/certificate_list.ts";
import type { KeyAlgorithm } from "../server/certificate_issuer.ts";
import {
  CommandError,
  defineCommand,
  type Output,
  parseCount,
  runSubcommands,
  UsageError,
  using,
} from "./usage.ts";
import { tableText } from "./table.ts";

const VALIDITY_DAYS_MAX = 36_500;

const certs = { value: "DIR", default: "certs", help: "the folder of certificates" } as const;
const key = {
  value: "KIND",
  choices: ["p256", "p384", "ed25519"],
  default: "p256",
  help: "the kind of key",
} as const;
const force = { help: "replace files that are there" } as const;
const san = {
  value: "NAME",
  multiple: true,
  help: "a DNS name or IP address, or uri:… or email:…",
} as const;
const subject = { value: "TEXT", help: "the subject's common name" } as const;

function days(count: number) {
  return { value: "DAYS", default: String(count), help: "validity in days" } as const;
}

function notice(output: Output, ...paths: readonly string[]): void {
  for (const path of paths) output.out(`wrote ${path}\n`);
}

const ca = defineCommand(
  {
    name: "certgen ca",
    summary: "Make a certificate authority, and its empty revocation list",
    options: { certs, key, days: days(DEFAULT_VALIDITY_DAYS.authority), subject, force },
  },
  async ({ options }, output) => {
    const directory = options.certs;
    const paths = certificatePaths(directory, "ca");
    const validDays = parseCount("days", options.days, VALIDITY_DAYS_MAX);
    await makeFolder(directory);
    if (!options.force) await expectFree(paths.certificate, paths.key, crlPath(directory));
    const { issueAuthority } = await import("../server/certificate_issuer.ts");
    const now = Date.now();
    const issued = await issueAuthority({
      commonName: options.subject ?? AUTHORITY_COMMON_NAME,
      key: options.key as KeyAlgorithm,
      days: validDays,
      now,
    });
    await writeIssued(paths, issued, options.force);
    const crlDays = DEFAULT_VALIDITY_DAYS.crl;
    const crl = { previous: undefined, revocations: [], days: crlDays, now };
    await writeCrl(directory, await readAuthority(directory), crl);
    notice(output, paths.certificate, paths.key, crlPath(directory));
    if (options.force) output.err("certificates of the authority before are not valid any more\n");
  },
);

const leafOptions = { certs, key, days: days(DEFAULT_VALIDITY_DAYS.leaf), subject, san, force };

const server = defineCommand(
  {
    name: "certgen server",
    summary: "Issue a server's certificate, by default for localhost, 127.0.0.1 and ::1",
    options: {
      name: { value: "NAME", default: "server", help: "the files are NAME.pem and NAME.key" },
      ...leafOptions,
    },
  },
  ({ options }, output) => issueLeaf("server", options, output),
);

const client = defineCommand(
  {
    name: "certgen client",
    summary: "Issue a client's certificate; its common name is who the client is",
    options: {
      name: { value: "NAME", default: "client", help: "the files are NAME.pem and NAME.key" },
      ...leafOptions,
    },
  },
  ({ options }, output) => issueLeaf("client", options, output),
);

interface LeafOptions {
  readonly certs: string;
  readonly name: string;
  readonly key: string;
  readonly days: string;
  readonly subject: string | undefined;
  readonly san: readonly string[];
  readonly force: boolean;
}

async function issueLeaf(
  role: "server" | "client",
  options: LeafOptions,
  output: Output,
): Promise<void> {
  const validDays = parseCount("days", options.days, VALIDITY_DAYS_MAX);
  const paths = certificatePaths(options.certs, checkedName(options.name));
  const authority = await readAuthorityOrAdvise(options.certs);
  if (!options.force) await expectFree(paths.certificate, paths.key);
  const issuer = await import("../server/certificate_issuer.ts");
  const common = { key: options.key as KeyAlgorithm, days: validDays, now: Date.now() };
  try {
    const isServer = role === "server";
    const altNames = options.san.length > 0 || !isServer ? options.san : DEVELOPMENT_ALT_NAMES;
    const commonName = options.subject ?? (isServer ? altNames[0]! : options.name);
    const issued = isServer
      ? await issuer.issueServerCertificate(authority, { ...common, commonName, altNames })
      : await issuer.issueClientCertificate(authority, { ...common, commonName, altNames });
    await writeIssued(paths, issued, options.force);
  } catch (error) {
    if (error instanceof issuer.CertificateIssueError) throw new UsageError(error.message);
    throw error;
  }
  notice(output, paths.certificate, paths.key);
}

/** File names without a path, and none that means something else here. */
function checkedName(name: string): string {
  if (!/^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}$/.test(name)) {
    throw new UsageError(`--name is made of letters, digits, dots and dashes, not "${name}"`);
  }
  if (name === "ca" || name === "token") throw new UsageError(`--name ${name} is taken`);
  return name;
}

async function readAuthorityOrAdvise(directory: string) {
  try {
    return await readAuthority(directory);
  } catch (error) {
    if (!(error instanceof CertificateFileError) || error.reason !== "missing") throw error;
    throw new CommandError(`${error.message}; deno task certgen ca makes it`);
  }
}

const list = defineCommand(
  { name: "certgen list", summary: "Show the certificates of a folder", options: { certs } },
  async ({ options }, output) => {
    const directory = options.certs;
    const found = await using(directory, () => listCertificates(directory, Date.now()));
    const head = ["name", "subject", "alternative names", "not after", "serial number", "status"];
    const rows = found.certificates.map((certificate) => [
      certificate.name,
      certificate.subject,
      certificate.altNames.join(" "),
      isoSeconds(certificate.notAfter),
      certificate.serialNumber,
      certificate.status,
    ]);
    output.out(tableText(head, rows));
    if (found.crl !== undefined) {
      const { crlNumber, revokedCount, nextUpdate } = found.crl;
      const number = crlNumber ?? "none";
      const next = nextUpdate === undefined ? "never" : isoSeconds(nextUpdate);
      output.out(`\nca.crl: number ${number}, ${revokedCount} revoked, next update ${next}\n`);
    }
  },
);

function isoSeconds(at: number | undefined): string {
  return at === undefined ? "" : new Date(at).toISOString().replace(/\.\d+Z$/, "Z");
}

/** CRLReason by name (RFC 5280 section 5.3.1). */
const REASONS: Readonly<Record<string, number>> = {
  unspecified: 0,
  keyCompromise: 1,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  privilegeWithdrawn: 9,
};

const revoke = defineCommand(
  {
    name: "certgen revoke",
    summary: "Revoke a certificate, by its name, its file or its serial number",
    operands: ["CERTIFICATE"],
    options: {
      certs,
      reason: {
        value: "REASON",
        choices: Object.keys(REASONS),
        default: "unspecified",
        help: "why",
      },
      days: {
        value: "DAYS",
        default: String(DEFAULT_VALIDITY_DAYS.crl),
        help: "days until the next list; after them every certificate is refused",
      },
    },
  },
  async ({ options, operands }, output) => {
    const directory = options.certs;
    const validDays = parseCount("days", options.days, VALIDITY_DAYS_MAX);
    const authority = await readAuthorityOrAdvise(directory);
    const previous = await readAuthorityCrl(directory, authority.certificate);
    const serialNumber = await findSerialNumber(directory, operands[0]!, authority.certificate);
    if (previous?.revoked.has(serialNumber) === true) {
      output.out(`${operands[0]} is revoked already\n`);
      return;
    }
    const now = Date.now();
    const revocations = [{ serialNumber, revokedAt: now, reason: REASONS[options.reason]! }];
    const list = { previous, revocations, days: validDays, now };
    const crlNumber = await writeCrl(directory, authority, list);
    output.out(`revoked ${serialNumber}; wrote ${crlPath(directory)}, number ${crlNumber}\n`);
  },
);

/** Runs `certgen` and returns its exit code. */
export function runCertgen(args: readonly string[], output?: Output): Promise<number> {
  return runSubcommands(
    "certgen",
    "Make and revoke certificates",
    { ca, server, client, list, revoke },
    args,
    output,
  );
}

if (import.meta.main) Deno.exit(await runCertgen(Deno.args));
