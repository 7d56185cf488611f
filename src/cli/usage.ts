// What all commands share: strict arguments, help, one clear line for what went wrong, exit codes.

import { parseArgs } from "@std/cli/parse-args";
import { SqpError } from "../client/mod.ts";
import { AddressError, ProviderAbsentError } from "../server/mod.ts";
import { CertificateFileError, PemError, TrustStoreError } from "../server/certificate_files.ts";

/** The command line is wrong: one line, exit code 2. */
export class UsageError extends Error {
  /** The type's name. */
  override readonly name = "UsageError";
}

/** The command cannot do what it was asked for: one line, exit code 1, no stack trace. */
export class CommandError extends Error {
  /** The type's name. */
  override readonly name = "CommandError";
}

/** One option: with `value` it takes one, else it is a flag. */
export interface OptionSpec {
  /** What the value is, in capitals, as help shows it: `FILE`. */
  readonly value?: string;
  /** Whether the option may come more than once. */
  readonly multiple?: boolean;
  /** The values that are allowed, where only some are. */
  readonly choices?: readonly string[];
  /** The value where the option is not given. */
  readonly default?: string;
  /** One line for a person. */
  readonly help: string;
}

/** What a command takes. */
export interface CommandSpec {
  /** As it is typed: `certgen server`. */
  readonly name: string;
  /** One line for a person. */
  readonly summary: string;
  /** Names of the operands, in capitals; one that ends in `?` may be left out. */
  readonly operands?: readonly string[];
  /** By name, without dashes. */
  readonly options: Readonly<Record<string, OptionSpec>>;
}

/** The type of an option's value. */
export type OptionValue<Spec extends OptionSpec> = Spec extends { readonly value: string }
  ? Spec extends { readonly multiple: true } ? readonly string[]
  : Spec extends { readonly default: string } ? string
  : string | undefined
  : boolean;

/** A command line that was read. */
export interface CommandLine<Spec extends CommandSpec> {
  /** The options, each with its value or default. */
  readonly options: {
    readonly [Name in keyof Spec["options"]]: OptionValue<Spec["options"][Name]>;
  };
  /** The operands, as many as the command takes. */
  readonly operands: readonly string[];
}

/**
 * Reads a command's arguments. Throws {@linkcode UsageError} for an unknown option, a value that is missing, not
 * allowed or given twice, a flag with a value, and too few or too many operands.
 */
export function parseCommandLine<const Spec extends CommandSpec>(
  spec: Spec,
  args: readonly string[],
): CommandLine<Spec> {
  const names = Object.keys(spec.options);
  const valued = names.filter((name) => spec.options[name]!.value !== undefined);
  const parsed = parseArgs(withJoinedValues(spec, args), {
    boolean: names.filter((name) => !valued.includes(name)),
    // "_" keeps operands that look like numbers as they were typed.
    string: [...valued, "_"],
    collect: valued,
    "--": true,
    unknown: (arg, key) => {
      if (key !== undefined) throw new UsageError(`unknown option ${arg.split("=")[0]}`);
      return true;
    },
  });
  const options: Record<string, unknown> = {};
  for (const name of names) {
    options[name] = valued.includes(name)
      ? optionValue(
        name,
        spec.options[name]!,
        (parsed[name] as string[]).map((text) => text.slice(1)),
      )
      : parsed[name] === true;
  }
  const operands = [...parsed._.map(String), ...(parsed["--"] as string[])];
  checkOperands(spec, operands);
  return { options, operands } as unknown as CommandLine<Spec>;
}

/**
 * Rewrites every option that takes a value to one argument, `--name==value`: parseArgs drops an empty value and a
 * value that begins with a dash, and takes "true" behind a flag. The second equals sign is taken off afterwards.
 */
function withJoinedValues(spec: CommandSpec, args: readonly string[]): string[] {
  const joined: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--") return [...joined, ...args.slice(i)];
    const [, name, given] = /^--([^=]+)(?:=(.*))?$/s.exec(arg) ?? [];
    const option = name !== undefined && Object.hasOwn(spec.options, name)
      ? spec.options[name]
      : undefined;
    if (option === undefined) {
      joined.push(arg);
    } else if (option.value === undefined) {
      if (given !== undefined) throw new UsageError(`--${name} takes no value`);
      joined.push(`--${name}=true`);
    } else {
      const value = given ?? args[++i];
      // A negative number is a value; anything else with a dash is more likely the next option.
      const isOption = given === undefined && value !== undefined && /^-(?!\d|$)/.test(value);
      if (value === undefined || isOption) {
        throw new UsageError(`--${name} needs a value: --${name} ${option.value}`);
      }
      joined.push(`--${name}==${value}`);
    }
  }
  return joined;
}

function optionValue(name: string, option: OptionSpec, values: readonly string[]) {
  for (const value of values) {
    if (option.choices !== undefined && !option.choices.includes(value)) {
      throw new UsageError(`--${name} is one of ${option.choices.join(", ")}, not "${value}"`);
    }
  }
  if (option.multiple === true) return values;
  if (values.length > 1) throw new UsageError(`--${name} is given twice`);
  return values[0] ?? option.default;
}

function checkOperands(spec: CommandSpec, operands: readonly string[]): void {
  const expected = spec.operands ?? [];
  const needed = expected.filter((operand) => !operand.endsWith("?"));
  if (operands.length < needed.length) {
    throw new UsageError(`${needed[operands.length]} is missing`);
  }
  if (operands.length > expected.length) {
    throw new UsageError(`unexpected argument "${operands[expected.length]}"`);
  }
}

/** A positive whole number. Throws {@linkcode UsageError}. */
export function parseCount(name: string, text: string, max: number): number {
  const count = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > max) {
    throw new UsageError(`--${name} is a whole number from 1 to ${max}, not "${text}"`);
  }
  return count;
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A time span such as `250ms`, `30s`, `15m`, `1h` or `7d`, in milliseconds. Throws {@linkcode UsageError}. */
export function parseTimeSpan(name: string, text: string): number {
  const [, digits, unit] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
  const spanMs = digits === undefined ? 0 : Number(digits) * UNIT_MS[unit!]!;
  if (spanMs <= 0) {
    throw new UsageError(`--${name} is a time such as 30s, 15m, 1h or 7d, not "${text}"`);
  }
  return spanMs;
}

/** The help of one command. */
function helpText(spec: CommandSpec): string {
  const operands = (spec.operands ?? []).map((operand) =>
    operand.endsWith("?") ? `[${operand.slice(0, -1)}]` : operand
  );
  const rows = Object.entries(spec.options).map(([name, option]) => {
    const value = option.choices?.join("|") ?? option.value;
    const notes = [
      ...(option.multiple === true ? ["may be repeated"] : []),
      ...(option.default === undefined ? [] : [`default ${option.default}`]),
    ];
    const help = notes.length > 0 ? `${option.help} (${notes.join(", ")})` : option.help;
    return [value === undefined ? `--${name}` : `--${name} ${value}`, help] as const;
  });
  rows.push(["--help", "print this"]);
  const width = Math.max(...rows.map(([left]) => left.length));
  return [
    `${spec.summary}.`,
    "",
    `Usage: deno task ${[spec.name, ...operands, "[options]"].join(" ")}`,
    "",
    ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`),
    "",
  ].join("\n");
}

/** A command: what it takes, and what it does. */
export interface Command {
  /** Its name, options and operands. */
  readonly spec: CommandSpec;
  /** Reads the arguments and runs; the result is the exit code, 0 where there is none. */
  readonly run: (args: readonly string[], output: Output) => Promise<number | void>;
}

/** Where a command writes. */
export interface Output {
  /** Writes to standard output; the result of the command and nothing else. */
  readonly out: (text: string) => void;
  /** Writes to standard error. */
  readonly err: (text: string) => void;
}

/** A command of a spec, with the types of its options. */
export function defineCommand<const Spec extends CommandSpec>(
  spec: Spec,
  main: (line: CommandLine<Spec>, output: Output) => Promise<number | void>,
): Command {
  return { spec, run: (args, output) => main(parseCommandLine(spec, args), output) };
}

/**
 * Runs a command and returns its exit code: 0, or what the command returns; 2 for a wrong command line and 1 for
 * anything else that went wrong, each with one line on standard error. Prints help where it is asked for.
 */
export async function runCommand(
  command: Command,
  args: readonly string[] = Deno.args,
  output: Output = systemOutput,
): Promise<number> {
  const { name } = command.spec;
  try {
    if (asksForHelp(args)) {
      output.out(helpText(command.spec));
      return 0;
    }
    return await command.run(args, output) ?? 0;
  } catch (error) {
    return reportError(name, error, output);
  }
}

/** Several commands behind one name, as in `certgen ca`. The exit codes are {@linkcode runCommand}'s. */
export async function runSubcommands(
  name: string,
  summary: string,
  commands: Readonly<Record<string, Command>>,
  args: readonly string[] = Deno.args,
  output: Output = systemOutput,
): Promise<number> {
  const [first, ...rest] = args;
  const command = first !== undefined && Object.hasOwn(commands, first)
    ? commands[first]
    : undefined;
  if (command !== undefined) return await runCommand(command, rest, output);
  if (asksForHelp(args)) {
    output.out(subcommandsHelp(name, summary, commands));
    return 0;
  }
  const choices = Object.keys(commands).join(", ");
  const problem = first === undefined ? "a command is missing" : `unknown command "${first}"`;
  return reportError(name, new UsageError(`${problem}: one of ${choices}`), output);
}

function subcommandsHelp(
  name: string,
  summary: string,
  commands: Readonly<Record<string, Command>>,
): string {
  const width = Math.max(...Object.keys(commands).map((each) => each.length));
  const rows = Object.entries(commands).map(([each, { spec }]) =>
    `  ${each.padEnd(width)}  ${spec.summary}`
  );
  return `${summary}.\n\nUsage: deno task ${name} COMMAND [options]\n\n${rows.join("\n")}\n`;
}

function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return args.slice(0, end < 0 ? args.length : end).some((arg) => arg === "--help" || arg === "-h");
}

function reportError(name: string, error: unknown, output: Output): number {
  if (error instanceof UsageError) {
    output.err(`${name}: ${oneLine(error.message)}; --help says more\n`);
    return 2;
  }
  const isExplained = EXPLAINED.some((type) => error instanceof type);
  const text = isExplained ? (error as Error).message : systemErrorText(error);
  if (text !== undefined) {
    output.err(`${name}: ${oneLine(text)}\n`);
    return 1;
  }
  // A defect of ours: whoever repairs it needs the trace.
  const trace = error instanceof Error ? error.stack ?? error.message : String(error);
  output.err(`${name}: internal error: ${trace}\n`);
  return 1;
}

/** Errors whose message is a line for a person already. */
const EXPLAINED = [
  CommandError,
  CertificateFileError,
  PemError,
  TrustStoreError,
  AddressError,
  ProviderAbsentError,
  SqpError,
] as const;

function oneLine(text: string): string {
  return text.replace(/\s*[\r\n]+\s*/g, " ").trim();
}

/** What an error of the system means, `undefined` for errors of other kinds. */
function systemErrorText(error: unknown): string | undefined {
  for (const [type, text] of SYSTEM_ERRORS) if (error instanceof type) return text;
  if (error instanceof Deno.errors.NotCapable) {
    return `the command was started without a permission it needs: ${error.message}`;
  }
  // What else the system says, "No space left on device" and the like, carries its number.
  return error instanceof Error && /\(os error \d+\)/.test(error.message)
    ? error.message
    : undefined;
}

const SYSTEM_ERRORS: readonly (readonly [abstract new (...args: never[]) => Error, string])[] = [
  [Deno.errors.NotFound, "no such file or directory"],
  [Deno.errors.PermissionDenied, "permission denied"],
  [Deno.errors.AlreadyExists, "exists already"],
  [Deno.errors.IsADirectory, "is a directory"],
  [Deno.errors.NotADirectory, "a part of the path is not a directory"],
  [Deno.errors.AddrInUse, "the address is in use by another program"],
  [Deno.errors.AddrNotAvailable, "the address is none of this machine"],
];

/**
 * Runs something that uses `subject`, a file or an address; what the system says against it becomes a
 * {@linkcode CommandError} that names the subject.
 */
export async function using<Value>(
  subject: string,
  action: () => Value | Promise<Value>,
): Promise<Value> {
  try {
    return await action();
  } catch (error) {
    const text = systemErrorText(error);
    if (text === undefined) throw error;
    throw new CommandError(`${subject}: ${text}`, { cause: error });
  }
}

/** Standard output and standard error of this process. */
const systemOutput: Output = {
  out: (text) => writeAll(Deno.stdout, text),
  err: (text) => writeAll(Deno.stderr, text),
};

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  let bytes = new TextEncoder().encode(text);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
  } catch (error) {
    // Whoever read our output has gone (`| head`): there is nobody left to tell.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
