//! Words that tell what the words beside them are, in eight languages: written for this project from what letters,
//! forms and addresses of these countries look like.

/// The parts a word may play, as bits: a word can play several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Role(u32);

impl Role {
    /// A title: a name follows.
    pub(in super::super) const TITLE: Self = Self(1 << 0);
    /// A title in so few letters that it needs its capital.
    pub(in super::super) const SHORT_TITLE: Self = Self(1 << 1);
    /// A name follows, or stands behind the colon.
    pub(in super::super) const LABEL: Self = Self(1 << 2);
    /// A key of forms and records whose value is a name, or part of one.
    pub(in super::super) const NAME_KEY: Self = Self(1 << 3);
    /// A key beside which `name` is not that of a person (`file_name`).
    pub(in super::super) const THING_KEY: Self = Self(1 << 4);
    /// A word that announces a name only before a colon (`from:`).
    pub(in super::super) const HEADER: Self = Self(1 << 5);
    /// A salutation: a first name may follow.
    pub(in super::super) const GREETING: Self = Self(1 << 6);
    /// The end of a letter: the name of its writer follows.
    pub(in super::super) const SIGN_OFF: Self = Self(1 << 7);
    /// A street type of which the name follows; what follows is no person.
    pub(in super::super) const STREET: Self = Self(1 << 8);
    /// The same, of words that mean other things as well.
    pub(in super::super) const STREET_WEAK: Self = Self(1 << 9);
    /// An organisation or a place that bears somebody's name.
    pub(in super::super) const ORGANISATION: Self = Self(1 << 10);
    /// What ends the name of a company, or makes a place of a name.
    pub(in super::super) const SUFFIX: Self = Self(1 << 11);
    /// Saint, and words like it, that make a place of a name.
    pub(in super::super) const SAINT: Self = Self(1 << 12);
    /// A particle inside names.
    pub(in super::super) const PARTICLE: Self = Self(1 << 13);
    /// An article.
    pub(in super::super) const ARTICLE: Self = Self(1 << 14);
    /// A complement of an address.
    pub(in super::super) const COMPLEMENT: Self = Self(1 << 15);
    /// A particle inside the name of a street.
    pub(in super::super) const STREET_PARTICLE: Self = Self(1 << 16);
    /// A particle of a street of which the name goes on only with a capital.
    pub(in super::super) const WEAK_PARTICLE: Self = Self(1 << 17);
    /// A particle inside the name of a city.
    pub(in super::super) const CITY_PARTICLE: Self = Self(1 << 18);
    /// A word that a German or Dutch street may start with before its name.
    pub(in super::super) const GERMAN_START: Self = Self(1 << 19);
    /// A street type of the United Kingdom, Ireland and North America, which follows the name.
    pub(in super::super) const ROAD: Self = Self(1 << 20);
    /// A word that stands behind an address rather than in it.
    pub(in super::super) const AFTER: Self = Self(1 << 21);
    /// A name that has become a company, a product or a place.
    pub(in super::super) const BRAND: Self = Self(1 << 22);

    pub(super) const NONE: Self = Self(0);

    /// Both sets of parts.
    pub(in super::super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The parts without some of them.
    pub(in super::super) const fn without(self, parts: Self) -> Self {
        Self(self.0 & !parts.0)
    }

    /// Whether it plays one of the parts.
    pub(in super::super) const fn is(self, parts: Self) -> bool {
        self.0 & parts.0 != 0
    }
}

pub(super) const ROLES: &[(Role, &str)] = &[
    (
        Role::TITLE,
        "mme,mmes,mlle,mlles,mr,mrs,ms,miss,madame,mesdames,mademoiselle,monsieur,messieurs,mgr,monseigneur,maitre,\
         docteur,docteure,professeur,professeure,dr,dre,prof,\
         herr,herrn,frau,fraulein,hr,fr,dipling,\
         senor,senora,senorita,sr,sra,srta,don,dona,dna,\
         sig,sigra,signor,signora,signore,signorina,dott,dottssa,dottoressa,dottor,dottore,avv,avvocato,ing,geom,rag,arch,\
         dhr,mevr,mevrouw,mw,meneer,heer,mej,mejuffrouw,drs,\
         pan,pani,panna,panu,pana,panem,panstwo,mgr,inz,\
         senhor,senhora,senhorita,exmo,exma,eng,enga,dra,\
         sir,lady,lord,dame,rev,reverend,capt,captain,col,sgt,lt,judge,justice,\
         soeur,frere,abbe,pere,capitaine,colonel,commandant,lieutenant",
    ),
    (Role::SHORT_TITLE, "m,me,pr,d,mm,mx"),
    (
        Role::NAME_KEY,
        "prenom,prenoms,nom de famille,nom complet,nom et prenom,nom prenom,prenom nom,nom de naissance,nom usage,\
         firstname,lastname,fullname,surname,forename,givenname,familyname,middlename,maidenname,full name,first name,last name,\
         vorname,nachname,familienname,geburtsname,vor und nachname,\
         apellido,apellidos,nombre y apellidos,nombre completo,primer apellido,segundo apellido,\
         cognome,nome e cognome,nome cognome,\
         voornaam,achternaam,voornamen,volledige naam,\
         imie,nazwisko,imie i nazwisko,imiona,\
         apelido,sobrenome,nome completo",
    ),
    (
        Role::THING_KEY,
        "company,societe,entreprise,firma,unternehmen,empresa,azienda,bedrijf,file,fichier,host,domain,domaine,product,\
         produit,produkt,producto,prodotto,event,class,classe,app,application,table,column,field,var,variable,function,method,package,\
         module,service,server,serveur,project,projet,projekt,proyecto,progetto,street,city,ville,stadt,country,pays,bank,banque,\
         plan,brand,marque,campaign,campagne,display,common,device,machine,resource,tag,branch,repo,repository,image,container,\
         namespace,cluster,node,pod,job,task,step,stage,rule,policy,group,team,role,org,organization,organisation,organisme,\
         school,ecole,hotel,site,page,template,theme,font,color,queue,topic,index,key,schema,model,dataset,bucket,region,zone,\
         tenant,tool,library,plugin,extension,folder,dossier,commercial,enseigne,legal,business,trade,usual,social,sociale,raison,\
         item,article,sku,category,categorie,skill,song,album,artist,title,movie,film,book,game,street,place,pet",
    ),
    (
        Role::HEADER,
        "from,to,cc,bcc,cci,de,a,an,von,para,da,van,aan,od,do,par,by,copie,reply to,replyto,expediteur,destinataire,absender,empfanger,\
         remitente,destinatario,mittente,afzender,ontvanger,nadawca,odbiorca,remetente,sender,recipient,qui,user,utilisateur,\
         benutzer,usuario,utente,gebruiker,uzytkownik,utilizador,nom,name,nombre,nome,naam,nazwa,manager,responsable,chef,\
         auteur,autor,autore,auteurs,proprietaire,eigentumer,propietario,proprietario,eigenaar,wlasciciel,gerant,directeur,\
         director,direktor,medecin,arzt,medico,arts,lekarz,avocat,notaire,commercial,conseiller,advisor,agent,berater,\
         interlocuteur,interlocutrice,referent,referente,organisateur,organizer,participants,participant,participante,invites,attendees,\
         teilnehmer,asistentes,partecipanti,deelnemers,uczestnicy,participantes,present,presents,absents,excuses,signe,signed,\
         unterschrift,firmado,firmato,podpis,assinado,redacteur,writer,reporter,assignee,assigned to,reviewer,approver,requester,\
         demandeur,demandeuse,declarant,temoin,witness,zeuge,victime,emetteur,affecte a,cree par,created by,modifie par,\
         updated by,prepared by,approuve par,approved by,contact person,point of contact,personne a contacter,who,speaker,host",
    ),
    (
        Role::GREETING,
        "bonjour,bonsoir,salut,coucou,cher,chere,chers,cheres,hello,hi,hey,dear,hallo,lieber,liebe,liebes,guten tag,guten morgen,moin,\
         hola,estimado,estimada,querido,querida,buenos dias,ciao,caro,cara,gentile,buongiorno,buonasera,egregio,beste,geachte,\
         dag,hoi,goedemorgen,goedemiddag,czesc,drogi,droga,witaj,szanowny,szanowna,ola,caro,cara,prezado,prezada,bom dia,boa tarde,\
         merci,thanks,thank you,danke,gracias,grazie,obrigado,obrigada,dzieki,bedankt,bonne journee,good morning",
    ),
    (
        Role::SIGN_OFF,
        "cordialement,sincerement,respectueusement,amicalement,bien cordialement,tres cordialement,salutations distinguees,\
         salutations,bien a vous,a bientot,sentiments distingues,meilleures salutations,amities,bises,\
         regards,kind regards,best regards,best wishes,sincerely,faithfully,yours,cheers,respectfully,best,truly,\
         grussen,gruss,grusse,grussen aus,mfg,hochachtungsvoll,lg,vg,herzlichst,\
         saludos,un saludo,saludos cordiales,atentamente,cordialmente,un abrazo,atte,saludo,\
         saluti,cordiali saluti,distinti saluti,cordialmente,un saluto,\
         groet,groeten,vriendelijke groet,vriendelijke groeten,hoogachtend,mvg,\
         pozdrawiam,pozdrowieniami,powazaniem,serdecznie,\
         atenciosamente,cumprimentos,melhores cumprimentos,abraco,respeitosamente",
    ),
    (
        Role::STREET,
        "rue,avenue,av,ave,boulevard,bd,bld,blvd,bvd,chemin,impasse,allee,allees,quai,ruelle,faubourg,fbg,route,rte,esplanade,\
         rondpoint,venelle,chaussee,sentier,lotissement,lieudit,square,place,\
         via,viale,vle,piazza,pzza,pza,piazzale,ple,corso,cso,vicolo,largo,strada,lungomare,contrada,localita,lungotevere,viadotto,\
         calle,avenida,avda,avd,plaza,plz,paseo,pso,carrer,camino,carretera,ctra,travesia,glorieta,pasaje,rambla,avinguda,placa,\
         passeig,callejon,urbanizacion,urb,poligono,\
         rua,praca,praceta,travessa,estrada,calcada,rotunda,beco,\
         ul,ulica,aleja,aleje,al,plac,pl,os,osiedle,\
         strasse,str,bp,cs,tsa,postfach,postbus,apartado,casella postale,skrytka pocztowa",
    ),
    (
        Role::STREET_WEAK,
        "cours,passage,residence,villa,cite,parc,mail,clos,cour,port,traverse,montee,hameau,galerie,voie,domaine,promenade,\
         chem,che,imp,all,sq,res,lot,quartier,rocade,parvis,pont,sente,corniche,digue,za,zi,zac,zone,\
         ronda,alameda,cuesta,salita,galleria,borgo,quinta,bairro,caminho,lugar,rondo,skwer,bulwar,c,r,tv,cl,vic,loc,\
         platz,weg,ring,gasse,ufer,damm,markt,plein,laan,straat,kade,gracht,singel",
    ),
    (
        Role::ORGANISATION,
        "societe,ste,entreprise,cabinet,garage,boulangerie,pharmacie,groupe,groupement,association,fondation,institut,lycee,college,\
         ecole,universite,hopital,clinique,aeroport,gare,stade,theatre,musee,metro,station,bibliotheque,mediatheque,gymnase,\
         piscine,centre,espace,maison,chateau,etablissements,ets,agence,banque,hotel,restaurant,brasserie,editions,laboratoires,\
         laboratoire,prix,loi,plan,fonds,champagne,domaine,maison,marque,radio,ville,commune,prefecture,salle,batiment,tour,\
         firma,gesellschaft,verlag,universitat,schule,gymnasium,klinik,krankenhaus,flughafen,bahnhof,stiftung,brauerei,autohaus,\
         museum,theater,stadion,kirche,haus,bank,company,school,university,college,hospital,airport,stadium,museum,church,\
         foundation,institute,library,hotel,theatre,award,prize,mount,lake,river,cape,fort,port,\
         empresa,colegio,instituto,universidad,hospital,aeropuerto,estadio,teatro,museo,fundacion,iglesia,banco,grupo,premio,\
         azienda,ditta,scuola,liceo,universita,ospedale,aeroporto,stadio,chiesa,fondazione,banca,gruppo,palazzo,ponte,\
         bedrijf,stichting,universiteit,ziekenhuis,luchthaven,kerk,brouwerij,\
         spolka,szkola,uniwersytet,szpital,lotnisko,muzeum,teatr,kosciol,fundacja,\
         sociedade,escola,universidade,aeroporto,museu,fundacao,igreja,grupo,parque,\
         the,team,equipe,agent,model,modele,version,bot,assistant,microsoft,google,apple",
    ),
    (
        Role::SUFFIX,
        "sarl,sas,sasu,sa,eurl,snc,sci,scop,scp,selarl,gie,gmbh,ag,kg,ohg,mbh,ev,ug,kgaa,se,ltd,llc,llp,inc,plc,corp,\
         corporation,co,sl,slu,srl,spa,snc,sas,bv,nv,vof,lda,unipessoal,spolka,spzoo,sp,freres,fils,associes,sohne,brothers,bros,\
         sons,holding,group,groupe,gruppe,consulting,conseil,industries,partners,partenaires,services,solutions,technologies,\
         laboratories,labs,systems,motors,airlines,pharma,energy,foods,media,records,studios,capital,insurance,logistics,bancorp,\
         avocats,notaires,architectes,immobilier,transports,logistique,automobiles,hijos,hermanos,asociados,figli,fratelli,\
         associati,zonen,zoon,synowie,filhos,irmaos,foundation,street,road,avenue,lane,square,airport,university,college,\
         hospital,stadium,museum,park,bridge,strasse,platz,allee,weg,ring,schule,stiftung",
    ),
    (
        Role::SAINT,
        "saint,sainte,st,san,santa,santo,sankt,sao,sint,swiety,swieta,notre,nuestra,los,las,port,fort,mont,new",
    ),
    (
        Role::PARTICLE,
        "de,du,des,von,vom,van,der,den,dem,ter,ten,zu,zur,zum,da,do,dos,das,di,del,della,dello,dei,degli,dalla,delle,d,el,al,ben,bin,\
         ibn,abou,abu,la,le,les,las,los,af,av,het,t",
    ),
    (
        Role::ARTICLE,
        "un,une,ein,eine,der,die,das,el,lo,gli,il,o,os,as,os,this,that,ce,cet,cette,notre,votre,leur,son,sa,our,your,their",
    ),
    (
        Role::COMPLEMENT,
        "bat,batiment,bldg,building,apt,appt,appartement,app,apartment,flat,unit,suite,etage,esc,escalier,porte,residence,res,hall,entree,\
         tour,bloc,lot,hameau,floor,piso,pta,puerta,escalera,planta,bajo,atico,izq,dcha,interno,int,scala,piano,edificio,wohnung,\
         whg,etage,stock,hinterhaus,vorderhaus,aufgang,bus,huis,lokal,lok,m,mieszkanie,klatka,andar,dto,esq,fracao,bloco,lieudit,\
         bp,cs,tsa,cedex,postfach,ortsteil,ot,zi,za,zac,zone,chez,co",
    ),
    (
        Role::STREET_PARTICLE,
        "de,du,des,d,la,le,les,l,del,della,dello,dei,degli,delle,di,da,do,dos,das,van,der,den,het,t,von,vom,\
         dem,zum,zur,am,an,im,los,las,el,y,e,et,i,a,au,aux,en,sur,sous,lez,of,the",
    ),
    (Role::WEAK_PARTICLE, "y,e,et,i,a,au,aux,en,sur,sous,of,the,am,an,im"),
    (
        Role::CITY_PARTICLE,
        "de,du,des,d,la,le,les,l,lez,en,sur,sous,et,aux,au,a,del,della,dei,degli,delle,di,da,do,dos,das,van,\
         der,den,het,aan,op,in,bij,an,am,ob,im,bei,auf,vor,dem,zum,el,los,las,upon,on,of,the,under,nad,i,y,e",
    ),
    (
        Role::GERMAN_START,
        "am,an,auf,im,in,zum,zur,unter,hinter,vor,beim,bei,alte,alter,altes,neue,neuer,grosse,kleine,nieuwe,\
         oude,lange,korte,eerste,tweede,grote",
    ),
    (
        Role::ROAD,
        "street,st,road,rd,avenue,ave,lane,ln,drive,dr,close,court,ct,crescent,cres,place,pl,square,sq,\
         terrace,gardens,gdns,grove,hill,park,row,walk,way,mews,green,rise,view,yard,wharf,gate,parade,quay,\
         boulevard,blvd,highway,hwy,parkway,pkwy,circle,trail,mount,embankment,bridge,vale,meadow,meadows,\
         drove,croft,end",
    ),
    (
        Role::AFTER,
        "tel,telephone,telefon,telefono,telefone,phone,fax,mobile,email,mail,courriel,siret,siren,iban,bic,\
         tva,nir,cedex,cell,cellulare,handy,movil,telemovel,telefoon,gsm,portable",
    ),
    (
        Role::BRAND,
        "hugo boss,calvin klein,louis vuitton,yves rocher,christian dior,tommy hilfiger,ralph lauren,\
         mercedes benz,charles schwab,john deere,ernst young,pierre fabre,leroy merlin,jack daniels,\
         morgan stanley,claude code,claude sonnet,claude opus,claude haiku,mac mini,paul smith,jean lefebvre,\
         jacques vabre,ben jerry,max mara,guy degrenne,pierre cardin,harry potter,mary kay,dolce gabbana,\
         rose marie,santa maria,van gogh,harley davidson,buenos aires,san francisco,los angeles,costa rica,\
         monte carlo,porto alegre,virginia beach,grand marnier,marie blachere,daniel hechter,georges pompidou,\
         jean monnet,vinci autoroutes,carte vitale,andorra la vella",
    ),
];
