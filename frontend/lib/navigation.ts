/** Where to go after login: only ever a page of this origin. */

export const HOME = '/contacts/';

/** Where the login page stands; it is never where a login leads. */
const LOGIN = '/login';

/**
 * `next` when it is a path of this origin, else home.
 *
 * The result is what the caller navigates to, so the result is checked and not the input: a URL parser removes tabs and
 * dot segments and turns `\` into `/`, by which `/.//host` and `/x/..//host` become `//host`, the address of another
 * host (https://url.spec.whatwg.org/#url-parsing).
 */
export function safeNext(next: string | null): string {
  if (next === null || !next.startsWith('/')) return HOME;
  const url = within(next);
  if (url === null || url.pathname.startsWith(LOGIN)) return HOME;
  const path = url.pathname + url.search;
  // Read again: it must still be a path of this origin, and the same one.
  const again = /^\/(?![/\\])/.test(path) ? within(path) : null;
  return again !== null && again.pathname + again.search === path ? path : HOME;
}

/** An address that stays on its origin, whatever the origin is. */
function within(address: string): URL | null {
  const base = 'https://same.invalid';
  if (!URL.canParse(address, base)) return null;
  const url = new URL(address, base);
  const own = url.origin === base && url.username === '' && url.password === '';
  return own ? url : null;
}

export function loginPath(from: string): string {
  return `/login/?next=${encodeURIComponent(from)}`;
}

/** The page where a person changes their password, and then goes on. */
export function passwordPath(next: string): string {
  return `/password/?next=${encodeURIComponent(next)}`;
}

/** Links come from the law catalogue; whatever is not a web address is shown as text. */
export function isWebAddress(url: string): boolean {
  return /^https?:\/\//i.test(url) && URL.canParse(url);
}
