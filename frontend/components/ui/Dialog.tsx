'use client';

import type { ReactNode } from 'react';
import { useId, useLayoutEffect, useRef } from 'react';

interface DialogProps {
  title: string;
  /** Asked for with Escape; a dialog without it must be answered. */
  onClose?: () => void;
  children: ReactNode;
}

/** A modal dialog, open while mounted. The browser keeps the focus inside and gives it back afterwards. */
export function Dialog({ title, onClose, children }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const titleId = useId();

  useLayoutEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);

  return (
    <dialog
      ref={ref}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        onClose?.();
      }}
      className="m-auto max-h-[calc(100dvh-2rem)] w-[calc(100vw-2rem)] max-w-2xl overflow-y-auto rounded-card border border-line bg-surface p-5 text-ink shadow-dialog sm:p-7"
    >
      <h2 id={titleId} className="text-xl font-semibold tracking-tight">
        {title}
      </h2>
      {children}
    </dialog>
  );
}
