'use client';

import { useState } from 'react';
import { Button } from '@/components/ui/Button';
import { Dialog } from '@/components/ui/Dialog';
import type { ContactFields } from '@/lib/api/types';
import { useI18n } from '@/lib/i18n';
import { compare } from '@/lib/merge';

interface ConflictDialogProps {
  base: ContactFields;
  mine: ContactFields;
  theirs: ContactFields;
  organisationNames: ReadonlyMap<string, string>;
  onResolve: (merged: ContactFields) => void;
  onBack: () => void;
  onDiscard: () => void;
}

type Name = keyof ContactFields;

/** Two people changed the same contact: shows who changed what, and lets this one choose. */
export function ConflictDialog(props: ConflictDialogProps) {
  const { base, mine, theirs, organisationNames, onResolve, onBack, onDiscard } = props;
  const { t } = useI18n();
  const conflict = compare(base, mine, theirs);
  const [keepTheirs, setKeepTheirs] = useState<ReadonlySet<Name>>(new Set());

  const show = (fields: ContactFields, name: Name): string => {
    const value = fields[name];
    if (value === null || value === '') return t('contact.empty_value');
    if (typeof value === 'boolean') return t(value ? 'conflict.yes' : 'conflict.no');
    if (name === 'organisation_id') return organisationNames.get(value) ?? value;
    if (name === 'locale') return t(`contact.locale.${fields.locale}`);
    return value;
  };

  const choose = (name: Name, side: 'mine' | 'theirs') => {
    const next = new Set(keepTheirs);
    if (side === 'theirs') next.add(name);
    else next.delete(name);
    setKeepTheirs(next);
  };

  const resolve = () => {
    const kept = [...conflict.mine, ...conflict.disputed.filter((name) => !keepTheirs.has(name))];
    onResolve({ ...theirs, ...Object.fromEntries(kept.map((name) => [name, mine[name]])) });
  };

  return (
    <Dialog title={t('conflict.title')} onClose={onBack}>
      <p className="mt-2 text-ink-soft">{t('conflict.text')}</p>
      {conflict.disputed.length > 0 && (
        <section className="mt-5">
          <h3 className="font-semibold">{t('conflict.disputed')}</h3>
          {conflict.disputed.map((name) => (
            <fieldset key={name} className="mt-3">
              <legend className="mb-2 text-sm font-medium">
                {t('conflict.choose', { field: t(`contact.${name}`) })}
              </legend>
              <div className="grid gap-2 sm:grid-cols-2">
                {(['mine', 'theirs'] as const).map((side) => (
                  <label
                    key={side}
                    className="flex gap-3 rounded-lg border border-line-strong p-3 has-checked:border-accent has-checked:bg-accent-soft"
                  >
                    <input
                      type="radio"
                      name={`conflict-${name}`}
                      className="mt-0.5 size-5 accent-accent"
                      checked={(side === 'theirs') === keepTheirs.has(name)}
                      onChange={() => choose(name, side)}
                    />
                    <span className="min-w-0">
                      <span className="block text-xs text-ink-soft">{t(`conflict.${side}`)}</span>
                      <span className="font-medium">{show(side === 'mine' ? mine : theirs, name)}</span>
                    </span>
                  </label>
                ))}
              </div>
            </fieldset>
          ))}
        </section>
      )}
      <Unopposed title={t('conflict.only_mine')} values={conflict.mine.map((name) => [name, show(mine, name)])} />
      <Unopposed title={t('conflict.only_theirs')} values={conflict.theirs.map((name) => [name, show(theirs, name)])} />
      <div className="mt-6 flex flex-wrap justify-end gap-3">
        <Button variant="ghost" onClick={onDiscard}>
          {t('conflict.discard')}
        </Button>
        <Button variant="secondary" onClick={onBack}>
          {t('conflict.back')}
        </Button>
        <Button onClick={resolve}>{t('conflict.save')}</Button>
      </div>
    </Dialog>
  );
}

function Unopposed({ title, values }: { title: string; values: [Name, string][] }) {
  const { t } = useI18n();
  if (values.length === 0) return null;
  return (
    <section className="mt-5">
      <h3 className="font-semibold">{title}</h3>
      <dl className="mt-2 flex flex-col gap-1 text-sm">
        {values.map(([name, value]) => (
          <div key={name} className="flex flex-wrap gap-x-2">
            <dt className="text-ink-soft">{t(`contact.${name}`)}</dt>
            <dd className="font-medium">{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
