// Where the system's libcrypto lies.

/** Where distributions put libcrypto of OpenSSL 3, by operating system. */
const LIBRARY_PATHS: Readonly<Record<string, readonly string[]>> = {
  linux: [
    "/usr/lib/x86_64-linux-gnu/libcrypto.so.3", // Debian, Ubuntu
    "/usr/lib/aarch64-linux-gnu/libcrypto.so.3",
    "/usr/lib64/libcrypto.so.3", // Fedora, Red Hat, SUSE
    "/usr/lib/libcrypto.so.3", // Arch, Alpine
    "/lib/libcrypto.so.3", // Alpine before 3.22
  ],
  darwin: [
    "/opt/homebrew/opt/openssl@3/lib/libcrypto.3.dylib", // Homebrew
    "/usr/local/opt/openssl@3/lib/libcrypto.3.dylib",
    "/opt/local/libexec/openssl3/lib/libcrypto.3.dylib", // MacPorts
  ],
};

/** All paths that are tried, for those who grant them: `--allow-ffi=` and these, joined with commas. */
export const OPENSSL_LIBRARY_PATHS: readonly string[] = Object.values(LIBRARY_PATHS).flat();

/** The paths that are tried on an operating system, by the name that Deno has for it. */
export function opensslLibraryPaths(os: string): readonly string[] {
  return LIBRARY_PATHS[os] ?? [];
}
