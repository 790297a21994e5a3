"""The standard lead fields of a subscription, and the custom ones that it starts with.

A line holds: id, API name, display name, type, length, flags (r read-only, c company, h hidden).
"""

STANDARD = """
4|company|Company Name|string|255|c
5|site|Site|string|255|c
6|billingStreet|Billing Address|text||c
7|billingCity|Billing City|string|255|c
8|billingState|Billing State|string|255|c
9|billingCountry|Billing Country|string|255|c
10|billingPostalCode|Billing Postal Code|string|255|c
11|website|Website|url|255|c
12|mainPhone|Main Phone|string|255|c
15|annualRevenue|Annual Revenue|currency||c
16|numberOfEmployees|Num Employees|integer||c
17|industry|Industry|string|255|c
18|sicCode|SIC Code|string|40|c
20|mktoCompanyNotes|Company Notes|text||c
41|externalCompanyId|External Company Id|string|50|
44|id|Id|integer||
45|mktoName|Full Name|string|255|r
46|personType|Person Type|string|50|
48|mktoIsPartner|Is Partner|boolean||
49|isLead|Is Lead|boolean||
50|mktoIsCustomer|Is Customer|boolean||
51|isAnonymous|Is Anonymous|boolean||
52|salutation|Salutation|string|255|
53|firstName|First Name|string|255|
54|middleName|Middle Name|string|255|
55|lastName|Last Name|string|255|
56|email|Email Address|email|255|
57|phone|Phone Number|phone|255|
58|mobilePhone|Mobile Phone Number|phone|255|
59|fax|Fax Number|phone|255|
60|title|Job Title|string|255|
61|contactCompany|Contact Company|reference||r
62|dateOfBirth|Date of Birth|date||
63|address|Address|text||
64|city|City|string|255|
65|state|State|string|255|
66|country|Country|string|255|
67|postalCode|Postal Code|string|255|
68|personTimeZone|Person Time Zone|string|255|r
70|originalSourceType|Original Source Type|string|255|r
71|originalSourceInfo|Original Source Info|string|2000|r
72|registrationSourceType|Registration Source Type|string|255|
73|registrationSourceInfo|Registration Source Info|string|2000|
74|originalSearchEngine|Original Search Engine|string|255|r
75|originalSearchPhrase|Original Search Phrase|string|255|r
76|originalReferrer|Original Referrer|url|255|r
77|emailInvalid|Email Invalid|boolean||
78|emailInvalidCause|Email Invalid Cause|string|255|
79|unsubscribed|Unsubscribed|boolean||
81|unsubscribedReason|Unsubscribed Reason|string|2000|
82|doNotCall|Do Not Call|boolean||
83|mktoDoNotCallCause|Do Not Call Cause|string|255|
84|doNotCallReason|Do Not Call Reason|string|2000|
85|marketingSuspended|Marketing Suspended|boolean||
86|marketingSuspendedCause|Marketing Suspended Cause|string|255|
87|blackListed|Black Listed|boolean||
88|blackListedCause|Black Listed Cause|string|255|
89|mktoPersonNotes|Person Notes|text||
103|anonymousIP|Anonymous IP|string|255|
104|inferredCompany|Inferred Company|string|255|r
105|inferredCountry|Inferred Country|string|255|r
106|inferredCity|Inferred City|string|255|r
107|inferredStateRegion|Inferred State Region|string|255|r
108|inferredPostalCode|Inferred Postal Code|string|255|r
109|inferredMetropolitanArea|Inferred Metropolitan Area|string|255|r
110|inferredPhoneAreaCode|Inferred Phone Area Code|string|255|r
123|emailSuspended|Email Suspended|boolean||
124|emailSuspendedCause|Email Suspended Cause|string|255|
125|emailSuspendedAt|Email Suspended At|datetime||
126|department|Department|string|255|
130|createdAt|Created At|datetime||r
131|updatedAt|Updated At|datetime||r
136|cookies|Cookies|string|255|
137|externalSalesPersonId|External Sales Person Id|string|50|
141|leadPerson|Lead Person|reference||r
143|leadRole|Role|string|50|
144|leadSource|Lead Source|string|255|
145|leadStatus|Lead Status|string|255|
146|leadScore|Lead Score|integer||
147|urgency|Urgency|float||
148|priority|Priority|integer||
149|relativeScore|Relative Score|integer||
150|relativeUrgency|Relative Urgency|integer||
160|rating|Lead Rating|string|255|
181|personPrimaryLeadInterest|Primary Lead Interest|reference||r
479|leadPartitionId|Lead Partition Id|reference||
485|leadRevenueCycleModelId|Lead Revenue Cycle Model ID|reference||
487|leadRevenueStageId|Lead Revenue Stage ID|reference||
625|acquisitionProgramId|Acquisition Program|reference||
627|mktoAcquisitionDate|Acquisition Date|datetime||
830|ecids|ECIDs|string|255|r
840|facebookId|Facebook Id|string|255|
841|twitterId|Twitter Id|string|255|
842|linkedInId|LinkedIn Id|string|255|
843|marketoSocialFacebookProfileURL|Marketo Social Facebook Profile URL|url|2000|
850|sfdcAccountId|SFDC Account Id|string|40|
851|sfdcContactId|SFDC Contact Id|string|40|
852|sfdcLeadId|SFDC Lead Id|string|40|
853|sfdcLeadOwnerId|SFDC Lead Owner Id|string|40|
854|sfdcOpptyId|SFDC Opportunity Id|string|40|
"""

CUSTOM = """
1001|customerTier|Customer Tier|string|255|
1002|jobTitle|Role Title|string|255|
1003|crmAccountKey|CRM Account Key|string|255|
1004|backupEmail|Backup Email|email|255|
1005|loyaltyPoints|Loyalty Points|integer||
1006|satisfaction|Satisfaction|float||
1007|newsletterOptIn|Newsletter Opt In|boolean||
1008|contractStart|Contract Start|date||
1009|lastLoginAt|Last Login At|datetime||
1010|accountNotes|Account Notes|text||
1011|profileUrl|Profile URL|url|255|
1012|assistantPhone|Assistant Phone|phone|255|
1013|lifetimeValue|Lifetime Value|currency||
1014|discountRate|Discount Rate|percent||
1015|behaviourScore|Behaviour Score|score||
1016|fullGreeting|Full Greeting|formula||r
1017|legacyCode|Legacy Code|string|255|h
"""

MEMBER = """
2001|pMCFField|PMCF Field|string|255|
2002|dietaryNeeds|Dietary Needs|string|255|
2003|guestCount|Guest Count|integer||
2004|needsParking|Needs Parking|boolean||
"""

MEMBER_STANDARD = """
acquiredBy|Acquired By|boolean||r
attendanceLikelihood|Attendance Likelihood|integer||r
createdAt|Created At|datetime||r
isExhausted|Is Exhausted|boolean||r
leadId|Lead Id|integer||r
membershipDate|Membership Date|datetime||r
nurtureCadence|Nurture Cadence|string|4|r
program|Program|string|255|r
programId|Program Id|integer||r
reachedSuccess|Reached Success|boolean||r
reachedSuccessDate|Reached Success Date|datetime||r
registrationLikelihood|Registration Likelihood|integer||r
statusName|Status|string|255|r
statusReason|Status Reason|string|255|r
trackName|Track Name|string|255|r
updatedAt|Updated At|datetime||r
waitlistPriority|Waitlist Priority|integer||r
registrationCode|Registration Code|string|100|
webinarUrl|Webinar URL|string|2000|
"""
