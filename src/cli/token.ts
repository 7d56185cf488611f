// `deno task token`: tokens for development, and a look into those of others.

import { certificateFingerprint, readCertificates } from "../server/certificate_files.ts";
import {
  ensureTokenKeys,
  readTokenKeys,
  readTokenSigningKey,
  tokenPrivateKeyPath,
  tokenPublicKeyPath,
} from "../server/token_files.ts";
import {
  DEFAULT_TOKEN_AUDIENCE,
  DEFAULT_TOKEN_ISSUER,
  issueToken,
} from "../server/token_issuer.ts";
import {
  DEFAULT_TOKEN_LIMITS,
  isPermission,
  type Permission,
  PERMISSIONS,
  SUBJECT_LENGTH_MAX,
  TokenFault,
  verifyTokenClaims,
} from "../server/token_verifier.ts";
import {
  CommandError,
  defineCommand,
  type Output,
  parseTimeSpan,
  runSubcommands,
  UsageError,
} from "./usage.ts";

/** Most bytes of standard input that are read for a token. */
const INPUT_BYTES_MAX = 65_536;

const certs = { value: "DIR", default: "certs", help: "the folder of keys" } as const;
const issuer = { value: "NAME", default: DEFAULT_TOKEN_ISSUER, help: "who issues" } as const;
const audience = {
  value: "NAME",
  default: DEFAULT_TOKEN_AUDIENCE,
  help: "for which service",
} as const;

const issue = defineCommand(
  {
    name: "token issue",
    summary: "Issue a token, and print it",
    options: {
      subject: { value: "NAME", help: "who may present it" },
      permissions: {
        value: "LIST",
        default: "read,write",
        help: `of ${PERMISSIONS.join(", ")}; commas between`,
      },
      ttl: { value: "TIME", default: "1h", help: "how long it is valid, at most 24h for sqp" },
      key: { value: "FILE", help: "the private key, DIR/token.key by default, made if missing" },
      algorithm: {
        value: "KIND",
        choices: ["eddsa", "es256"],
        default: "eddsa",
        help: "of a key that is made",
      },
      "cnf-cert": { value: "FILE", help: "the only client certificate that may present it" },
      issuer,
      audience,
      certs,
    },
  },
  async ({ options }, output) => {
    const { subject } = options;
    if (subject === undefined || subject === "") throw new UsageError("--subject NAME is missing");
    if (subject.length > SUBJECT_LENGTH_MAX) {
      throw new UsageError(`--subject has more than ${SUBJECT_LENGTH_MAX} characters`);
    }
    const permissions = parsePermissions(options.permissions);
    const lifetimeMs = parseTimeSpan("ttl", options.ttl);
    const certificate = options["cnf-cert"] === undefined
      ? undefined
      : (await readCertificates(options["cnf-cert"]))[0]!;
    const path = options.key ?? tokenPrivateKeyPath(options.certs);
    if (options.key === undefined) await makeMissingKeys(options.certs, options.algorithm, output);
    const key = await readTokenSigningKey(path);
    if (lifetimeMs > DEFAULT_TOKEN_LIMITS.lifetimeMsMax) {
      output.err("token issue: servers refuse tokens of more than 24h unless they are told to\n");
    }
    const token = await issueToken({
      key,
      issuer: options.issuer,
      audience: options.audience,
      subject,
      permissions,
      lifetimeMs,
      now: Date.now(),
      certificateSha256: certificate && certificateFingerprint(certificate),
    });
    output.out(`${token}\n`);
  },
);

async function makeMissingKeys(
  directory: string,
  algorithm: string,
  output: Output,
): Promise<void> {
  const kind = algorithm === "es256" ? "ES256" : "EdDSA";
  if (!await ensureTokenKeys(directory, kind)) return;
  const paths = [tokenPrivateKeyPath(directory), tokenPublicKeyPath(directory)];
  output.err(`token issue: wrote ${paths.join(" and ")}\n`);
}

function parsePermissions(text: string): Permission[] {
  const names = text.split(",").map((name) => name.trim()).filter((name) => name !== "");
  for (const name of names) {
    if (!isPermission(name)) {
      throw new UsageError(`--permissions are of ${PERMISSIONS.join(", ")}, not "${name}"`);
    }
  }
  if (names.length === 0) throw new UsageError("--permissions names none");
  return PERMISSIONS.filter((name) => names.includes(name));
}

const verify = defineCommand(
  {
    name: "token verify",
    summary: "Check a token, or the one on standard input, and print its claims as JSON",
    operands: ["TOKEN|-"],
    options: {
      key: { value: "FILE", help: "the issuer's public keys, DIR/token.pem by default" },
      issuer,
      audience,
      certs,
    },
  },
  async ({ options, operands }, output) => {
    const text = operands[0] === "-" ? await readInput() : operands[0]!;
    const path = options.key ?? tokenPublicKeyPath(options.certs);
    const keys = await readTokenKeys(path);
    try {
      const { claims } = await verifyTokenClaims(text.trim(), {
        keys,
        issuer: options.issuer,
        audience: options.audience,
        now: Date.now(),
      });
      output.out(`${JSON.stringify(claims, undefined, 2)}\n`);
    } catch (error) {
      if (error instanceof TokenFault) throw new CommandError(error.message);
      throw error;
    }
  },
);

async function readInput(): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of Deno.stdin.readable) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > INPUT_BYTES_MAX) throw new CommandError("the input is too long for a token");
  }
  return text;
}

/** Runs `token` and returns its exit code. */
export function runToken(args: readonly string[], output?: Output): Promise<number> {
  return runSubcommands("token", "Issue and check tokens", { issue, verify }, args, output);
}

if (import.meta.main) Deno.exit(await runToken(Deno.args));
