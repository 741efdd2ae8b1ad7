import type { NextConfig } from 'next';
import { PHASE_DEVELOPMENT_SERVER } from 'next/constants';

/**
 * The product is a static export that the API server serves from its own origin. Only `next dev` has a server of
 * its own; it passes `/api` on to the API server of `NOVACRM_API_URL`, so the browser still sees one origin.
 */
export default function config(phase: string): NextConfig {
  const shared: NextConfig = { reactStrictMode: true, trailingSlash: true };
  if (phase !== PHASE_DEVELOPMENT_SERVER) {
    // The name of the build stands in its paths: a random one, unless whoever builds gives one of their own.
    return { ...shared, output: 'export', generateBuildId: () => process.env.NOVACRM_BUILD_ID ?? null };
  }
  const api = process.env.NOVACRM_API_URL ?? 'http://127.0.0.1:8080';
  return {
    ...shared,
    skipTrailingSlashRedirect: true,
    rewrites: async () => [{ source: '/api/:path*', destination: `${api}/api/:path*` }],
  };
}
