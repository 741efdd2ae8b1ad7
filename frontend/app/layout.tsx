import type { Viewport } from 'next';
import type { ReactNode } from 'react';
import '@/styles/globals.css';
import { Providers } from '@/components/session/Providers';

export const viewport: Viewport = { width: 'device-width', initialScale: 1 };

/** The document. French is what the export is written in; the script sets the chosen language and theme at once. */
export default function RootLayout({ children }: { children: ReactNode }) {
  return (
    <html lang="fr" suppressHydrationWarning>
      <head>
        {/* eslint-disable-next-line @next/next/no-sync-scripts -- it must run before the first paint */}
        <script src="/preferences.js" />
      </head>
      <body>
        <Providers>{children}</Providers>
      </body>
    </html>
  );
}
