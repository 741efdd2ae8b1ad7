/** Where to go after login: only ever a page of this origin. */

export const HOME = '/contacts/';

/** `next` when it is a path of this origin, else home. `//host`, `/\host` and schemes lead elsewhere. */
export function safeNext(next: string | null): string {
  if (next === null || !next.startsWith('/')) return HOME;
  const base = 'https://same.invalid';
  try {
    const url = new URL(next, base);
    if (url.origin !== base || url.pathname.startsWith('/login')) return HOME;
    return url.pathname + url.search;
  } catch {
    return HOME;
  }
}

export function loginPath(from: string): string {
  return `/login/?next=${encodeURIComponent(from)}`;
}

/** Links come from the law catalogue; whatever is not a web address is shown as text. */
export function isWebAddress(url: string): boolean {
  return /^https?:\/\//i.test(url) && URL.canParse(url);
}
