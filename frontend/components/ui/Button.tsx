import Link from 'next/link';
import type { ComponentProps } from 'react';

const BASE =
  'inline-flex min-h-11 items-center justify-center gap-2 rounded-lg px-4 py-2 text-sm font-semibold no-underline transition-colors disabled:cursor-not-allowed disabled:opacity-60';

const VARIANTS = {
  primary: 'bg-accent text-accent-ink hover:bg-accent-hover',
  secondary: 'border border-line-strong bg-surface text-ink hover:bg-sunken',
  ghost: 'text-ink-soft hover:bg-sunken hover:text-ink',
} as const;

export type ButtonVariant = keyof typeof VARIANTS;

interface Look {
  variant?: ButtonVariant;
}

export function Button({ variant = 'primary', className = '', type = 'button', ...rest }: ComponentProps<'button'> & Look) {
  return <button type={type} className={`${BASE} ${VARIANTS[variant]} ${className}`} {...rest} />;
}

export function LinkButton({ variant = 'primary', className = '', ...rest }: ComponentProps<typeof Link> & Look) {
  return <Link className={`${BASE} ${VARIANTS[variant]} ${className}`} {...rest} />;
}
