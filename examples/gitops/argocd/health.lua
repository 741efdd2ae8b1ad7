-- Health of CompliancePolicy and CrmTenant for Argo CD. It reads what kstatus reads, so that Argo CD, Flux and Helm agree:
-- the top-level observedGeneration, Stalled and Ready.

local function condition(kind)
  local status = obj.status or {}
  for _, found in ipairs(status.conditions or {}) do
    if found.type == kind then
      return found
    end
  end
  return {}
end

local ready = condition("Ready")

if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = ready.status == "False" and ready.message or "It is being deleted." }
end

local observed = obj.status and obj.status.observedGeneration
if observed == nil or observed ~= obj.metadata.generation then
  return { status = "Progressing", message = "The operator has not seen this generation yet." }
end

local stalled = condition("Stalled")
if stalled.status == "True" then
  return { status = "Degraded", message = stalled.message }
end

if ready.status == "True" then
  if obj.spec and obj.spec.suspend then
    return { status = "Suspended", message = ready.message }
  end
  return { status = "Healthy", message = ready.message }
end

return { status = "Progressing", message = ready.message or "It has no condition Ready yet." }
