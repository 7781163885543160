// Which releases of Redis have holes that are published and mended.
// Invariant: only what a version number can tell is told: where a distribution mends a release under its old number, nothing is said.

/** The first release of each branch without any hole published so far (the last: CVE-2026-81934, and CVE-2025-49844 in Lua before). */
const mended: { readonly [branch: string]: number } = {
  '7.2': 16,
  '7.4': 11,
  '8.2': 9,
  '8.4': 6,
  '8.6': 6,
  '8.8': 2,
  '8.10': 1,
}
// 7.0 and 8.0 are mended by distributions alone, which keep the number: Debian 12 has 7.0.15-1~deb12u10.

/** What mends the release; null: nothing is known of it, or another make (Valkey and others say the number of Redis to be understood). */
export const mendedBy = (release: string, make: string | undefined): string | null => {
  if (make !== undefined && make !== 'redis') return null
  const [, branch, patch] = /^(\d+\.\d+)\.(\d+)/.exec(release) ?? []
  const least = branch !== undefined && Object.hasOwn(mended, branch) ? mended[branch] : undefined
  return least !== undefined && Number(patch) < least ? `${branch}.${least}` : null
}
