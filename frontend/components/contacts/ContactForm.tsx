'use client';

import type { ReactNode } from 'react';
import { useRef, useState } from 'react';
import { Button } from '@/components/ui/Button';
import { Field } from '@/components/ui/Field';
import { ErrorNotice } from '@/components/ui/states';
import { useOrganisations } from '@/hooks/useContacts';
import { ApiError } from '@/lib/api/problem';
import type { ContactFields, Language } from '@/lib/api/types';
import { tidy } from '@/lib/contact';
import { useI18n } from '@/lib/i18n';

interface ContactFormProps {
  fields: ContactFields;
  onChange: (fields: ContactFields) => void;
  /** The name of the organisation it has, which may not be among those that are listed. */
  organisationName?: string | null;
  submitLabel: string;
  pending: boolean;
  error: unknown;
  onSubmit: (fields: ContactFields) => void;
  onCancel: () => void;
}

const REQUIRED = ['first_name', 'last_name'] as const;

type TextName = 'first_name' | 'last_name' | 'job_title' | 'email' | 'phone';

/** The fields of a contact. What is valid is for the API to say; only empty names are caught before asking. */
export function ContactForm(props: ContactFormProps): ReactNode {
  const { fields, onChange, organisationName, submitLabel, pending, error, onSubmit, onCancel } = props;
  const { t } = useI18n();
  const form = useRef<HTMLFormElement>(null);
  const organisations = useOrganisations();
  const [missing, setMissing] = useState<readonly string[]>([]);

  const refused = error instanceof ApiError ? error.fields : null;
  const errorOf = (name: string) => (missing.includes(name) ? t('contact.required') : refused?.get(name));
  const change = (part: Partial<ContactFields>) => onChange({ ...fields, ...part });

  const options = organisations.data ?? [];
  const listed = options.some(({ id }) => id === fields.organisation_id);

  const textField = (name: TextName, attributes: { type?: string; autoComplete?: string }) => (
    <Field label={t(`contact.${name}`)} error={errorOf(name)} required={name === 'first_name' || name === 'last_name'}>
      {(control) => (
        <input
          {...control}
          {...attributes}
          name={name}
          className="field"
          value={fields[name] ?? ''}
          required={name === 'first_name' || name === 'last_name'}
          onChange={(event) => change({ [name]: event.target.value })}
        />
      )}
    </Field>
  );

  return (
    <form
      ref={form}
      noValidate
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        if (pending) return;
        const tidied = tidy(fields);
        const empty = REQUIRED.filter((name) => tidied[name] === '');
        setMissing(empty);
        const [first] = empty;
        if (first === undefined) onSubmit(tidied);
        else (form.current?.elements.namedItem(first) as HTMLElement | null)?.focus();
      }}
    >
      <p className="text-sm text-ink-faint">{t('contact.required_hint')}</p>
      {Boolean(error) && <ErrorNotice error={error} />}
      <div className="grid gap-4 sm:grid-cols-2">
        {textField('first_name', { autoComplete: 'off' })}
        {textField('last_name', { autoComplete: 'off' })}
        {textField('job_title', { autoComplete: 'off' })}
        <Field label={t('contact.organisation_id')} error={errorOf('organisation_id')}>
          {(control) => (
            <select
              {...control}
              name="organisation_id"
              className="field"
              value={fields.organisation_id ?? ''}
              onChange={(event) => change({ organisation_id: event.target.value || null })}
            >
              <option value="">{t('contact.organisation.none')}</option>
              {fields.organisation_id && !listed && (
                <option value={fields.organisation_id}>{organisationName ?? fields.organisation_id}</option>
              )}
              {options.map(({ id, name }) => (
                <option key={id} value={id}>
                  {name}
                </option>
              ))}
            </select>
          )}
        </Field>
        {textField('email', { type: 'email', autoComplete: 'off' })}
        {textField('phone', { type: 'tel', autoComplete: 'off' })}
        <Field label={t('contact.locale')} error={errorOf('locale')}>
          {(control) => (
            <select
              {...control}
              name="locale"
              className="field"
              value={fields.locale}
              onChange={(event) => change({ locale: event.target.value as Language })}
            >
              <option value="fr">{t('contact.locale.fr')}</option>
              <option value="en">{t('contact.locale.en')}</option>
            </select>
          )}
        </Field>
      </div>
      <label className="flex items-start gap-3 text-sm">
        <input
          type="checkbox"
          name="do_not_contact"
          className="mt-0.5 size-5 accent-accent"
          checked={fields.do_not_contact}
          onChange={(event) => change({ do_not_contact: event.target.checked })}
        />
        <span>
          <span className="font-medium">{t('contact.do_not_contact')}</span>
          <span className="block text-ink-faint">{t('contact.do_not_contact.hint')}</span>
        </span>
      </label>
      <div className="flex flex-wrap justify-end gap-3">
        <Button variant="ghost" onClick={onCancel}>
          {t('contact.cancel')}
        </Button>
        <Button type="submit" disabled={pending}>
          {pending ? t('contact.saving') : submitLabel}
        </Button>
      </div>
    </form>
  );
}
