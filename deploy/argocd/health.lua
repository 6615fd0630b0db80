-- How an InboundSmtp is, for Argo CD. docs/gitops.md says how to install this, docs/conditions.md what it reads.
-- Argo CD gives `obj`, and of Lua's libraries next to nothing: no string, no math.

local function health(status, message)
  return {status = status, message = message or ""}
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "it is being deleted")
end

local conditions = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    conditions[condition.type] = condition
  end
end
local ready = conditions.Ready

if ready == nil then
  return health("Progressing", "the operator has not looked at it yet")
end

-- First of all that the status says: it may be about the spec before, and a fault that is mended is none
if obj.status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "the operator has not looked at this generation yet")
end

local function is_true(condition)
  return condition ~= nil and condition.status == "True"
end

-- Waiting does not help
if is_true(conditions.Stalled) then
  return health("Degraded", conditions.Stalled.message)
end

-- A change is on its way. Where mail is not taken, Ready says why, and this only that it goes on
if is_true(conditions.Reconciling) then
  return health("Progressing", is_true(ready) and conditions.Reconciling.message or ready.message)
end

if is_true(ready) then
  return health("Healthy", ready.message)
end

-- Somebody has asked for it, and it stays so until somebody asks for something else
if ready.reason == "Suspended" or ready.reason == "ScaledToZero" then
  return health("Suspended", ready.message)
end

-- Pods serve, and refuse what they were given: a configuration, a certificate, users
if ready.reason == "ReloadFailed" then
  return health("Degraded", ready.message)
end

-- The rest may still come: a Secret, a claim, a node. Degraded would end a sync at once as failed, and what makes
-- Secrets out of SealedSecrets or ExternalSecrets is often slower than that
return health("Progressing", ready.message)
